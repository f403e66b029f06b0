"""What a grant is, how it is keyed, and the one place where credits become a negative number."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

KEY = "[A-Za-z0-9._-]{1,64}"


_ORDER = "credits:order:"
_CYCLE = "credits:cycle:"
_CUSTOMER = "credits:customer:"
REFUND = "credits:refund:"
_MANUAL = "credits:manual:"
REVOKE = "credits:revoke:"

# Stands where the name of a rule does if a person gave: no rule can have it.
NO_RULE = ""

# No rule has it in its name.
RULE_SEPARATOR = ","

LONGEST_TEXT = 500  # Polar's bound on a metadata value


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One rule's share of a grant, in credits; negative where it takes back."""

    rule: str
    units: Decimal
    revocable: bool = False
    """Whether a refund takes it back: frozen with the grant, whatever the rules say later."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Credits for one customer on one meter, from one business fact; negative: taken back."""

    subject: str
    customer_id: str
    meter: str
    property_name: str
    parts: tuple[Part, ...]
    order_id: str | None = None
    reason: str = ""
    """What a person said why; Polar is told."""

    @cached_property  # as are the others: each is asked for ten times
    def key(self) -> str:
        """Return the ledger's key, which is Polar's ``external_id`` too."""
        return grant_key(self.subject, self.meter)

    @cached_property
    def units(self) -> Decimal:
        """Return the credits of all rules together."""
        return sum((part.units for part in self.parts), Decimal(0))

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """Return the names of the rules that gave a share: none where a person did.

        Of what was read back from Polar, one part is named by several.
        """
        return tuple(
            name for part in self.parts if part.rule != NO_RULE for name in part.rule.split(RULE_SEPARATOR)
        )


def order_subject(order_id: str) -> str:
    """Return the business fact "this order was paid" as the prefix of its grants' keys."""
    return _ORDER + order_id


def cycle_subject(subscription_id: str, period_start: datetime) -> str:
    """Return the fact "this period of a subscription began"."""
    return f"{_CYCLE}{subscription_id}:{int(period_start.timestamp())}"


def customer_subject(customer_id: str, rule: str | None = None) -> str:
    """Return the fact "this rule has credited this customer"; without a rule, "there is this customer"."""
    return f"{_CUSTOMER}{customer_id}:{rule}" if rule else _CUSTOMER + customer_id


def refund_subject(order_id: str, refunded_amount: int) -> str:
    """Return the fact "of this order so much has been refunded, all told" (in cents)."""
    return f"{REFUND}{order_id}:{refunded_amount}"


def manual_subject(key: str, customer: str, meter: str) -> str:
    """Return the fact "somebody gave this customer, named so, credits on this meter, under this key"."""
    return f"{_MANUAL}{key}:{customer}:{meter}"


def manual_delivery(subject: str) -> str:
    """Return the id of the delivery by which such a fact is granted."""
    return "manual-" + subject.removeprefix(_MANUAL)


def revoke_subject(order_id: str, meter: str) -> str:
    """Return the fact "somebody took back what was left of an order's credits on this meter"."""
    return f"{REVOKE}{order_id}:{meter}"


def order_of(subject: str) -> str | None:
    """Return the order that a subject is about, if its name says so."""
    for prefix in (_ORDER, REFUND, REVOKE):
        if subject.startswith(prefix):
            return subject.removeprefix(prefix).partition(":")[0]
    return None


def grant_key(subject: str, meter: str) -> str:
    """Return the key under which ``subject`` can be credited on ``meter`` once and never again.

    What is done by hand is done to one meter: it is in the subject already.
    """
    return subject if subject.startswith((_MANUAL, REVOKE)) else f"{subject}:{meter}"


def subject_of(key: str, meter: str) -> str:
    """Return the subject of a grant on ``meter`` that has this key."""
    return key if key.startswith((_MANUAL, REVOKE)) else key.removesuffix(f":{meter}")
