"""The shop of a storm: its webhooks, when and how often Polar sends them, and their possible outcomes.

Everything is planned from a seed. Bodies are recordings of a Polar server with other ids.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from tests.chaos.storm.paid_plans import MONTHLY, WEEKLY, PaidPlan, plan_paid_plan
from tests.chaos.storm.seed import random_for
from tests.chaos.world import CENTS, RulesFile, RuleSpec, SentWebhook
from tests.support.builders import METERS, order_webhook, refund_webhook, webhook
from tests.support.recorded_triggers import KINDS, PAID
from tests.support.recordings import payload
from workers.core.delivery import Status

RULES = RulesFile(
    (
        RuleSpec(
            name="pack", gives={"api_usage": "10", "images": "0.7"}, revokes=True, revokes_disputed=True
        ),
        RuleSpec(name="gift", gives={"api_usage": "7"}, triggers=("purchase", "subscription_cycle")),
        RuleSpec(
            name="first", gives={"api_usage": "50"}, triggers=("purchase", "subscription_cycle"), once=True
        ),
        RuleSpec(name="welcome", gives={"api_usage": "25"}, triggers=("customer.created",)),
        RuleSpec(name="period", gives={"seconds": "30"}, triggers=("subscription.cycled",)),
        MONTHLY,
        WEEKLY,
        RuleSpec(name="overage", gives={"seconds": "1"}, triggers=("subscription_meter_cycle",), broken=True),
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
_DISPUTED = 0.15  # the share of orders with a lost dispute
_DISPUTES_CENTS = [CENTS // 3, CENTS // 2, CENTS]
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

_CREDITED = frozenset({Status.GRANTED, Status.SKIPPED})  # skipped if another delivery made the grant
_SKIPPED = frozenset({Status.SKIPPED})
_FAILED = frozenset({Status.FAILED})
_NOT_STORED: frozenset[Status] = frozenset()


@dataclass(frozen=True, kw_only=True)
class PlannedWebhook:
    """One webhook, sent one or more times under the same id."""

    id: str
    body: bytes
    at_seconds: tuple[float, ...]
    """When it is sent: once, twice at once, or again much later."""
    tries: int | None
    """The attempts each time before Polar gives up; None: until it is acknowledged."""
    hangs_up_seconds: float | None
    """The timeout of the first attempt, if Polar is impatient."""
    ends: frozenset[Status]
    """Its possible final statuses; empty if it must not be stored."""
    sent: SentWebhook | None = None
    is_forged: bool = False


@dataclass(frozen=True, kw_only=True)
class PlannedDispute:
    """A dispute that is lost at Polar, which sends no webhook for it."""

    order: Mapping[str, Any]
    """The order at Polar."""
    at_seconds: float
    sent: SentWebhook
    """What the reconciler should make of it."""

    @property
    def delivery_id(self) -> str:
        """Return the id of its delivery."""
        return f"dispute-{self.sent.dispute_id}"


@dataclass(frozen=True, kw_only=True)
class _Event:
    """Something that happened at Polar, before its webhooks are planned."""

    body: bytes
    ends: frozenset[Status]
    sent: SentWebhook | None = None
    is_forged: bool = False


class Shop:
    """The customers of one storm, and everything that happens to them."""

    def __init__(self, seed: int, orders: int, seconds: float, began: datetime) -> None:
        self._rng = random_for(seed, "shop")
        self._seconds = seconds
        self._began = began
        self.plans: dict[str, PaidPlan] = {}
        """The plans that were paid for a year, by order."""
        self.disputes: list[PlannedDispute] = []
        self.customers = [_some_id(self._rng) for _ in range(max(2, orders // 3))]
        self.webhooks = [
            planned for _ in range(orders) for event in self._happens() for planned in self._plan(event)
        ]

    def _happens(self) -> Iterator[_Event]:
        kinds: Mapping[Callable[[], Iterator[_Event]], int] = {
            self._order: 65,
            self._paid_plan: 16,
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
        yield from self._happens_to(_paid(name, order_id, customer_id, told_late), refunds)

    def _paid_plan(self) -> Iterator[_Event]:
        ids = (_some_id(self._rng), self._rng.choice(self.customers), _some_id(self._rng))
        plan = plan_paid_plan(self._rng, ids, self._began, self._seconds)
        self.plans[plan.order_id] = plan
        refunds = self._rng.sample(_REFUNDS_CENTS, self._rng.choice([0, 0, 0, 1, 2]))
        cents = self._rng.choice([0, 0, *refunds])
        body = plan.body(refunded_amount=cents, status="partially_refunded" if cents else "paid")
        sent = replace(
            _paid("order_paid_subscription_create_yearly", plan.order_id, plan.customer_id, cents),
            body=body,
            product_id=plan.rule.products[0],
        )
        yield from self._happens_to(sent, refunds)

    def _happens_to(self, sent: SentWebhook, refunds: list[int]) -> Iterator[_Event]:
        """Yield the webhooks of an order and its refunds; it may have a lost dispute, too."""
        if self._rng.random() < _DISPUTED:
            self.disputes.append(self._dispute(sent))
        yield _event(sent)
        for cents in refunds:
            yield _event(_refunded(sent.order_id, sent.customer_id, cents), _CREDITED)

    def _dispute(self, sent: SentWebhook) -> PlannedDispute:
        """Plan a lost dispute of an order, which may have refunds too, before or after."""
        rng = self._rng
        return PlannedDispute(
            order=json.loads(sent.body)["data"] | {"refunded_amount": 0, "status": "paid"},
            at_seconds=rng.uniform(0, self._seconds),
            sent=SentWebhook(
                body=b"",
                subject=sent.subject,
                customer_id=sent.customer_id,
                order_id=sent.order_id,
                dispute_id=_some_id(rng),
                disputed_cents=rng.choice(_DISPUTES_CENTS),
            ),
        )

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
        yield _event(
            SentWebhook(body=body, subject=subject, customer_id=customer_id, trigger="subscription.cycled")
        )

    def _customer(self) -> Iterator[_Event]:
        customer_id = self._rng.choice(self.customers)
        body, subject = webhook("customer_created", id=customer_id), f"credits:customer:{customer_id}"
        yield _event(
            SentWebhook(body=body, subject=subject, customer_id=customer_id, trigger="customer.created")
        )

    def _stranger(self) -> Iterator[_Event]:
        sent = _paid("order_paid_purchase", _some_id(self._rng), _some_id(self._rng))
        yield _event(sent, _FAILED)

    def _unreadable(self) -> Iterator[_Event]:
        yield _Event(body=self._rng.choice(_UNREADABLE), ends=_FAILED)

    def _ignored(self) -> Iterator[_Event]:
        yield _Event(body=payload(self._rng.choice(_IGNORED)), ends=_NOT_STORED)

    def _forged(self) -> Iterator[_Event]:
        sent = _paid("order_paid_purchase", _some_id(self._rng), self._rng.choice(self.customers))
        yield _Event(body=sent.body, ends=_NOT_STORED, is_forged=True)

    def _plan(self, event: _Event) -> Iterator[PlannedWebhook]:
        """Yield what is sent of ``event``: at times twice, or later again, or to a second endpoint too."""
        rng = self._rng
        for _ in range(rng.choice([1, 1, 1, 2])):
            at = rng.uniform(0, self._seconds)
            yield PlannedWebhook(
                id=_some_id(rng),
                body=event.body,
                at_seconds=rng.choice([(at,), (at,), (at, at), (at, rng.uniform(at, self._seconds))]),
                tries=rng.choice([None, None, None, None, 1, 2]),
                hangs_up_seconds=rng.choice([None, None, None, rng.uniform(0.001, 0.05)]),
                ends=event.ends,
                sent=event.sent,
                is_forged=event.is_forged,
            )


def _event(sent: SentWebhook, ends: frozenset[Status] | None = None) -> _Event:
    return _Event(body=sent.body, ends=_ends(sent) if ends is None else ends, sent=sent)


def _ends(sent: SentWebhook) -> frozenset[Status]:
    expected = RULES.expects(sent)
    if expected is None:
        return _FAILED
    return _CREDITED if expected else _SKIPPED


def _paid(name: str, order_id: str, customer_id: str, refunded_cents: int = 0) -> SentWebhook:
    return SentWebhook(
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


def _refunded(order_id: str, customer_id: str, cents: int) -> SentWebhook:
    return SentWebhook(
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
