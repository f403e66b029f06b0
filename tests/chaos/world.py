"""The model's world: what a webhook tells, and what a rules file makes of it; known without the core.

Subjects are spelled out, as they stand in Redis; what a file gives is worked out from its lines.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from config.rules import Rules
from tests.support.builders import PRODUCT, rule, rules_of

CENTS = 900  # a third of it is no round number of credits
LATER = "2026-11-02T00:00:00Z"

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
    product_id: str = PRODUCT
    is_late: bool = True
    """Whether it happened at ``LATER`` or after."""
    is_readable: bool = True
    refunded_cents: int = 0
    """Of the order, all told."""
    revokes: str = ""
    """The meter on which a person takes all of the order's credits back; ``*`` for every meter."""
    is_full: bool = False
    """Whether Polar says that all of it has been refunded, whatever the cents."""

    @property
    def share(self) -> Fraction:
        """Return how much of the order has been refunded."""
        return Fraction(1) if self.is_full else min(Fraction(1), Fraction(self.refunded_cents, CENTS))


@dataclass(frozen=True, kw_only=True)
class Line:
    """One rule of a file; a broken one has an amount that cannot be worked out."""

    name: str
    gives: Mapping[str, str]
    triggers: tuple[str, ...] = ("purchase",)
    once: bool = False
    revokes: bool = False
    broken: bool = False
    products: tuple[str, ...] = ()
    begins: str = ""
    ends: str = ""

    def text(self) -> str:
        """Return the line as it stands in a rules file."""
        others: dict[str, Any] = {"triggers": self.triggers}
        others |= {"once_per": "customer"} if self.once else {}
        others |= {"on_refund": "revoke"} if self.revokes else {}
        others |= {"products": self.products} if self.products else {}
        others |= {"from": self.begins} if self.begins else {}
        others |= {"until": self.ends} if self.ends else {}
        amount = {
            meter: "order.net_amount - 2000" if self.broken else units for meter, units in self.gives.items()
        }
        return rule(self.name, amount, **others)

    def is_for(self, told: Told) -> bool:
        """Say whether it credits ``told``; its window begins or ends at ``LATER``."""
        return (
            told.trigger in self.triggers
            and (not self.products or told.product_id in self.products)
            and (not self.begins or told.is_late)
            and (not self.ends or not told.is_late)
        )

    def subject(self, told: Told) -> str:
        """Return what it would credit ``told`` by: the fact, or this rule and the customer."""
        is_own = self.once or told.trigger == "customer.created"
        return f"credits:customer:{told.customer_id}:{self.name}" if is_own else told.subject


@dataclass(frozen=True)
class File:
    """A rules file; what it wants is worked out here, not by the core."""

    lines: tuple[Line, ...]
    credit_from: str | None = None
    rules: Rules = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rules = rules_of(*(line.text() for line in self.lines), credit_from=self.credit_from)
        object.__setattr__(self, "rules", rules)

    def wants(self, told: Told) -> dict[str, Amounts] | None:
        """Return by subject what ``told`` is worth; None if that cannot be worked out."""
        if not told.is_readable:
            return None
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
        is_too_early = self.credit_from and not told.is_late
        return (line for line in self.lines if not is_too_early and line.is_for(told))
