"""The shop in a storm: which webhooks Polar sends for it, when, how patiently, and what each may lead to.

All of it comes from a seed. Bodies are what a Polar server sent, with other ids; what they are worth is
said by the model's world, not by the core.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from uuid import UUID

from tests.chaos.storm.seed import dice
from tests.chaos.world import CENTS, File, Line, Told
from tests.support.builders import METERS, order_webhook, refund_webhook, webhook
from tests.support.recorded_triggers import KINDS, PAID
from tests.support.recordings import payload
from workers.core.delivery import Status

RULES = File(
    (
        Line(name="pack", gives={"api_usage": "10", "images": "0.7"}, revokes=True),
        Line(name="gift", gives={"api_usage": "7"}, triggers=("purchase", "subscription_cycle")),
        Line(name="first", gives={"api_usage": "50"}, triggers=("purchase", "subscription_cycle"), once=True),
        Line(name="welcome", gives={"api_usage": "25"}, triggers=("customer.created",)),
        Line(name="period", gives={"seconds": "30"}, triggers=("subscription.cycled",)),
        Line(name="overage", gives={"seconds": "1"}, triggers=("subscription_meter_cycle",), broken=True),
    )
)

RULES_FILE = "\n".join(
    [
        "version: 1",
        f"meters: {json.dumps({name: {'property': summed} for name, summed in METERS.items()})}",
        "rules:",
        *(line.text() for line in RULES.lines),
    ]
)

_REFUNDS_CENTS = [CENTS // 4, CENTS // 2, CENTS]  # cumulative
_PERIOD_BEGINS, _PERIOD_SECONDS = "2026-11-20T00:00:00Z", 1_795_132_800

_IGNORED = [
    "customer_updated",
    "customer_state_changed",
    "order_created_paid_purchase",
    "order_updated_refund_partial",
    "refund_created_full",
    "subscription_canceled_at_end",
    "subscription_updated_after_create",
]
_UNREADABLE = [b"no event", b'{"type": "order.paid", "data": {"id": 7}}', b'{"type": "order.paid"}', b"[]"]

_CREDITED = frozenset({Status.GRANTED, Status.SKIPPED})  # skipped where another delivery did it
_SKIPPED = frozenset({Status.SKIPPED})
_FAILED = frozenset({Status.FAILED})
_NOT_STORED: frozenset[Status] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One webhook on its way, again and again under the same id."""

    id: str
    body: bytes
    at_seconds: tuple[float, ...]
    """When it is sent: twice at once, or again much later."""
    tries: int | None
    """How often, each time, until Polar gives it up; None: until it is acknowledged."""
    hangs_up_seconds: float | None
    """How long its first try waits for an answer, if Polar is impatient."""
    ends: frozenset[Status]
    """What may become of it; nothing if it is not to be stored."""
    told: Told | None = None
    is_forged: bool = False


@dataclass(frozen=True, kw_only=True)
class _Event:
    """Something that happened at Polar, before it is put into letters."""

    body: bytes
    ends: frozenset[Status]
    told: Told | None = None
    is_forged: bool = False


class Shop:
    """Customers, whom Polar knows or (strangers) does not, and all that happens to them in one storm."""

    def __init__(self, seed: int, orders: int, seconds: float) -> None:
        self._rng = dice(seed, "shop")
        self._seconds = seconds
        self.customers = [_some_id(self._rng) for _ in range(max(2, orders // 3))]
        self.letters = [
            letter for _ in range(orders) for event in self._happens() for letter in self._letters(event)
        ]

    def _happens(self) -> Iterator[_Event]:
        kinds: Mapping[Callable[[], Iterator[_Event]], int] = {
            self._order: 65,
            self._period: 10,
            self._customer: 8,
            self._stranger: 4,
            self._unreadable: 3,
            self._ignored: 6,
            self._forged: 4,
        }
        (kind,) = self._rng.choices(list(kinds), weights=list(kinds.values()))
        return kind()

    def _order(self) -> Iterator[_Event]:
        order_id, customer_id = _some_id(self._rng), self._rng.choice(self.customers)
        name = self._rng.choice(PAID)
        refunds = self._rng.sample(_REFUNDS_CENTS, self._rng.choice([0, 0, 1, 2, 3]))
        told_late = self._rng.choice([0, 0, *refunds])
        yield _event(_paid(name, order_id, customer_id, told_late))
        for cents in refunds:
            yield _event(_refunded(order_id, customer_id, cents), _CREDITED)

    def _period(self) -> Iterator[_Event]:
        subscription_id = _some_id(self._rng)
        customer_id = self._rng.choice(self.customers)
        body = webhook(
            "subscription_cycled",
            id=subscription_id,
            customer_id=customer_id,
            current_period_start=_PERIOD_BEGINS,
        )
        subject = f"credits:cycle:{subscription_id}:{_PERIOD_SECONDS}"
        yield _event(Told(body=body, subject=subject, customer_id=customer_id, trigger="subscription.cycled"))

    def _customer(self) -> Iterator[_Event]:
        customer_id = self._rng.choice(self.customers)
        body, subject = webhook("customer_created", id=customer_id), f"credits:customer:{customer_id}"
        yield _event(Told(body=body, subject=subject, customer_id=customer_id, trigger="customer.created"))

    def _stranger(self) -> Iterator[_Event]:
        told = _paid("order_paid_purchase", _some_id(self._rng), _some_id(self._rng))
        yield _event(told, _FAILED)

    def _unreadable(self) -> Iterator[_Event]:
        yield _Event(body=self._rng.choice(_UNREADABLE), ends=_FAILED)

    def _ignored(self) -> Iterator[_Event]:
        yield _Event(body=payload(self._rng.choice(_IGNORED)), ends=_NOT_STORED)

    def _forged(self) -> Iterator[_Event]:
        told = _paid("order_paid_purchase", _some_id(self._rng), self._rng.choice(self.customers))
        yield _Event(body=told.body, ends=_NOT_STORED, is_forged=True)

    def _letters(self, event: _Event) -> Iterator[Letter]:
        """Yield what is sent of ``event``: at times twice, or later again, or to a second endpoint too."""
        rng = self._rng
        for _ in range(rng.choice([1, 1, 1, 2])):
            at = rng.uniform(0, self._seconds)
            yield Letter(
                id=f"msg_{_some_id(rng)}",
                body=event.body,
                at_seconds=rng.choice([(at,), (at,), (at, at), (at, rng.uniform(at, self._seconds))]),
                tries=rng.choice([None, None, None, None, 1, 2]),
                hangs_up_seconds=rng.choice([None, None, None, rng.uniform(0.001, 0.05)]),
                ends=event.ends,
                told=event.told,
                is_forged=event.is_forged,
            )


def _event(told: Told, ends: frozenset[Status] | None = None) -> _Event:
    return _Event(body=told.body, ends=_ends(told) if ends is None else ends, told=told)


def _ends(told: Told) -> frozenset[Status]:
    wanted = RULES.wants(told)
    if wanted is None:
        return _FAILED
    return _CREDITED if wanted else _SKIPPED


def _paid(name: str, order_id: str, customer_id: str, refunded_cents: int = 0) -> Told:
    return Told(
        body=order_webhook(
            name,
            id=order_id,
            customer_id=customer_id,
            net_amount=CENTS,
            refunded_amount=refunded_cents,
            status="partially_refunded" if refunded_cents else "paid",
        ),
        subject=f"credits:order:{order_id}",
        customer_id=customer_id,
        trigger=str(KINDS[name] or ""),
        order_id=order_id,
        refunded_cents=refunded_cents,
    )


def _refunded(order_id: str, customer_id: str, cents: int) -> Told:
    return Told(
        body=refund_webhook(
            cents,
            id=order_id,
            customer_id=customer_id,
            net_amount=CENTS,
            status="refunded" if cents == CENTS else "partially_refunded",
        ),
        subject=f"credits:order:{order_id}",
        customer_id=customer_id,
        order_id=order_id,
        refunded_cents=cents,
    )


def _some_id(rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))
