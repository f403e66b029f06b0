"""The model's world: few customers, orders that meet, rules that change; known without the core.

Keys are spelled out as the public contract has them, and what a file gives is worked out from its own lines.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from config.rules import Rules
from tests.builders import order_webhook, refund_webhook, rule, rules_of, some_id, webhook

ANN, BEN = some_id(21), some_id(22)
CUSTOMERS = {"Ann": ANN, "Ben": BEN}

_CENTS = 1000
_PERIOD_BEGINS = "2026-11-20T00:00:00Z"
_PERIOD_SECONDS = 1_795_132_800  # the same moment

Amounts = dict[str, dict[str, Decimal]]
"""By meter, by rule."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A webhook, and what it is to the rules; a refund has no trigger."""

    body: bytes
    subject: str
    customer_id: str
    trigger: str = ""
    order_id: str = ""
    refunded_cents: int = 0
    """Of the order, all told."""

    @property
    def share(self) -> Fraction:
        """Return how much of the order has been refunded."""
        return Fraction(self.refunded_cents, _CENTS)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One rule of a file; a broken one has an amount that cannot be worked out."""

    name: str
    gives: Mapping[str, str]
    triggers: tuple[str, ...] = ("purchase",)
    once: bool = False
    revokes: bool = False
    broken: bool = False

    def text(self) -> str:
        """Return the line as it stands in a rules file."""
        others: dict[str, Any] = {"triggers": self.triggers}
        others |= {"once_per": "customer"} if self.once else {}
        others |= {"on_refund": "revoke"} if self.revokes else {}
        amount = {
            meter: "order.net_amount - 2000" if self.broken else units for meter, units in self.gives.items()
        }
        return rule(self.name, amount, **others)

    def subject(self, told: Told) -> str:
        """Return what it would credit ``told`` by: the fact, or this rule and the customer."""
        is_own = self.once or told.trigger == "customer.created"
        return f"credits:customer:{told.customer_id}:{self.name}" if is_own else told.subject


@dataclass(frozen=True)
class File:
    """A rules file; what it wants is worked out here, not by the core."""

    lines: tuple[Line, ...]
    rules: Rules = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", rules_of(*(line.text() for line in self.lines)))

    def wants(self, told: Told) -> dict[str, Amounts] | None:
        """Return by subject what ``told`` is worth; None if that cannot be worked out."""
        wanted: dict[str, Amounts] = {}
        for line in self._for(told):
            if line.broken:
                return None
            for meter, units in line.gives.items():
                amounts = wanted.setdefault(line.subject(told), {})
                amounts.setdefault(meter, {})[line.name] = Decimal(units)
        return wanted

    def revokes(self, told: Told) -> set[str]:
        """Return the rules for ``told`` whose credits a refund takes back."""
        return {line.name for line in self._for(told) if line.revokes}

    def _for(self, told: Told) -> Iterator[Line]:
        return (line for line in self.lines if told.trigger in line.triggers)


def _paid(number: int, customer_id: str, kind: str = "purchase", refunded: int = 0) -> Told:
    order_id = some_id(number)
    return Told(
        body=order_webhook(
            f"order_paid_{kind}",
            id=order_id,
            customer_id=customer_id,
            net_amount=_CENTS,
            refunded_amount=refunded,
            status="partially_refunded" if refunded else "paid",
        ),
        subject=f"credits:order:{order_id}",
        customer_id=customer_id,
        trigger=kind,
        order_id=order_id,
        refunded_cents=refunded,
    )


def _refunded(number: int, customer_id: str, cents: int) -> Told:
    order_id = some_id(number)
    return Told(
        body=refund_webhook(cents, id=order_id, customer_id=customer_id),
        subject=f"credits:order:{order_id}",
        customer_id=customer_id,
        order_id=order_id,
        refunded_cents=cents,
    )


def _begun(number: int, customer_id: str) -> Told:
    subscription = some_id(number)
    return Told(
        body=webhook(
            "subscription_cycled",
            id=subscription,
            customer_id=customer_id,
            current_period_start=_PERIOD_BEGINS,
        ),
        subject=f"credits:cycle:{subscription}:{_PERIOD_SECONDS}",
        customer_id=customer_id,
        trigger="subscription.cycled",
    )


def _created(customer_id: str) -> Told:
    return Told(
        body=webhook("customer_created", id=customer_id),
        subject=f"credits:customer:{customer_id}",
        customer_id=customer_id,
        trigger="customer.created",
    )


TOLD: Mapping[str, Told] = {
    "order 1": _paid(1, ANN),
    "order 2": _paid(2, ANN),
    "order 2 told late": _paid(2, ANN, refunded=500),
    "order 3": _paid(3, BEN),
    "order 4": _paid(4, BEN, "subscription_cycle"),
    "period": _begun(31, BEN),
    "new Ann": _created(ANN),
    "new Ben": _created(BEN),
}
"""What can be credited."""

REFUNDS: Mapping[str, Told] = {
    f"refund {number}: {cents}": _refunded(number, ANN, cents)
    for number, cents in [(1, 250), (1, 333), (1, _CENTS), (2, _CENTS)]
}
"""Few, so that they meet each other and their orders."""

_PACK = Line(name="pack", gives={"api_usage": "10", "images": "0.7"}, revokes=True)
_GIFT = Line(name="gift", gives={"api_usage": "7"}, triggers=("purchase", "subscription_cycle"))
_FIRST = Line(name="first", gives={"api_usage": "50"}, triggers=("purchase", "subscription_cycle"), once=True)
_WELCOME = Line(name="welcome", gives={"api_usage": "25"}, triggers=("customer.created",))
_PERIOD = Line(name="period", gives={"seconds": "30"}, triggers=("subscription.cycled",))

FILES: Mapping[str, File] = {
    "usual": File((_PACK, _GIFT, _FIRST, _WELCOME, _PERIOD)),
    "no bonus": File((_PACK, _GIFT)),
    "other amounts": File(
        (
            Line(name="pack", gives={"api_usage": "20"}, revokes=True),
            Line(name="first", gives={"api_usage": "60", "seconds": "5"}, once=True),
            Line(name="welcome", gives={"api_usage": "40", "images": "1"}, triggers=("customer.created",)),
            Line(name="period", gives={"seconds": "31", "images": "2"}, triggers=("subscription.cycled",)),
        )
    ),
    "bonus renamed": File(
        (_PACK, Line(name="start", gives=_FIRST.gives, triggers=_FIRST.triggers, once=True))
    ),
    "policies flipped": File(
        (
            Line(name="pack", gives=_PACK.gives),
            Line(name="gift", gives=_GIFT.gives, triggers=_GIFT.triggers, revokes=True),
        )
    ),
    "bonus alone": File((_FIRST,)),
    "broken": File((_FIRST, Line(name="pack", gives=_PACK.gives, broken=True))),
    "nothing": File(()),
}

METERS = {"api_usage": "units", "images": "units", "seconds": "amount"}
"""The property of each."""

BONUSES = {line.name for file in FILES.values() for line in file.lines if line.once}

KEYS = {
    f"{subject}:{meter}"
    for file in FILES.values()
    for told in TOLD.values()
    for subject, amounts in (file.wants(told) or {}).items()
    for meter in amounts
} | {
    f"credits:refund:{told.order_id}:{told.refunded_cents}:{meter}"
    for told in (*TOLD.values(), *REFUNDS.values())
    if told.refunded_cents
    for meter in METERS
}
"""Every key that can ever be."""
