"""The model's own view of webhooks and rules: what each should earn, computed without the core."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from config.rules import Rules
from tests.support.builders import PRODUCT, rule, rules_of
from tests.support.dates import repeated

CENTS = 900  # a third of it is not a round number of credits
LATER = "2026-11-02T00:00:00Z"

Amounts = dict[str, dict[str, Decimal]]
"""Units by meter and rule."""


@dataclass(frozen=True, kw_only=True)
class PaidTime:
    """The period of a subscription that an order has paid."""

    subscription_id: str
    begins: datetime
    ends: datetime

    def dates(self, every: str) -> list[datetime]:
        """Return the dates of its instalments, the first included."""
        return list(repeated(every, self.begins, self.ends))


@dataclass(frozen=True, kw_only=True)
class SentWebhook:
    """A webhook, and the facts that rules look at; a refund has no trigger."""

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
    """The refunded amount of the order, in total."""
    dispute_id: str = ""
    """The dispute of the order that was lost."""
    disputed_cents: int = 0
    revokes: str = ""
    """The meter on which a manual revoke takes the order's credits back; ``*`` for every meter."""
    paid: PaidTime | None = None
    is_full: bool = False
    """Whether Polar calls the order fully refunded, whatever the amount."""

    @property
    def share(self) -> Fraction:
        """Return the share of the order that refunds gave back."""
        return Fraction(1) if self.is_full else min(Fraction(1), Fraction(self.refunded_cents, CENTS))

    @property
    def disputed_share(self) -> Fraction:
        """Return the share of the order that was lost with this dispute."""
        return min(Fraction(1), Fraction(self.disputed_cents, CENTS))


@dataclass(frozen=True, kw_only=True)
class RuleSpec:
    """One rule of a file; the amount of a broken one cannot be computed."""

    name: str
    gives: Mapping[str, str]
    triggers: tuple[str, ...] = ("purchase",)
    once: bool = False
    revokes: bool = False
    revokes_disputed: bool = False
    broken: bool = False
    products: tuple[str, ...] = ()
    begins: str = ""
    ends: str = ""
    every: str = ""
    """How often an order is credited again; what is computed here is its first instalment alone."""

    def text(self) -> str:
        """Return the rule in YAML."""
        others: dict[str, Any] = {"triggers": self.triggers}
        others |= {"once_per": "customer"} if self.once else {}
        others |= {"on_refund": "revoke"} if self.revokes else {}
        others |= {"on_dispute": "revoke"} if self.revokes_disputed else {}
        others |= {"products": self.products} if self.products else {}
        others |= {"from": self.begins} if self.begins else {}
        others |= {"until": self.ends} if self.ends else {}
        others |= {"every": self.every} if self.every else {}
        amount = {
            meter: "order.net_amount - 2000" if self.broken else units for meter, units in self.gives.items()
        }
        return rule(self.name, amount, **others)

    def is_for(self, sent: SentWebhook) -> bool:
        """Return whether the rule credits ``sent``; its window begins or ends at ``LATER``."""
        return (
            sent.trigger in self.triggers
            and (not self.products or sent.product_id in self.products)
            and (not self.begins or sent.is_late)
            and (not self.ends or not sent.is_late)
        )

    def subject(self, sent: SentWebhook) -> str:
        """Return the subject of its grants: the fact, or the customer with this rule."""
        is_own = self.once or sent.trigger == "customer.created"
        return f"credits:customer:{sent.customer_id}:{self.name}" if is_own else sent.subject


@dataclass(frozen=True)
class RulesFile:
    """A rules file; its grants are computed here, not by the core."""

    lines: tuple[RuleSpec, ...]
    credit_from: str | None = None
    rules: Rules = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rules = rules_of(*(line.text() for line in self.lines), credit_from=self.credit_from)
        object.__setattr__(self, "rules", rules)

    def expects(self, sent: SentWebhook) -> dict[str, Amounts] | None:
        """Return the expected amounts for ``sent`` by subject; None if they cannot be computed."""
        if not sent.is_readable:
            return None
        expected: dict[str, Amounts] = {}
        for line in self._for(sent):
            if line.broken:
                return None
            for meter, units in line.gives.items():
                amounts = expected.setdefault(line.subject(sent), {})
                amounts.setdefault(meter, {})[line.name] = Decimal(units)
        return expected

    def revokes(self, sent: SentWebhook) -> set[str]:
        """Return the rules for ``sent`` whose credits a refund takes back."""
        return {line.name for line in self._for(sent) if line.revokes}

    def revokes_disputed(self, sent: SentWebhook) -> set[str]:
        """Return the rules for ``sent`` whose credits a lost dispute takes back."""
        return {line.name for line in self._for(sent) if line.revokes_disputed}

    def _for(self, sent: SentWebhook) -> Iterator[RuleSpec]:
        is_too_early = self.credit_from and not sent.is_late
        return (line for line in self.lines if not is_too_early and line.is_for(sent))
