"""Defines a grant, the subject it is for, and its idempotency key."""

from datetime import datetime
from decimal import Decimal
from functools import cached_property

from msgspec import Struct

from config.intervals import Every
from workers.core.schedule import PaidPeriod

# The pattern of a manual grant's key and of a rule's name.
KEY = "[A-Za-z0-9._-]{1,64}"

_ORDER = "credits:order:"
_INSTALMENT = "credits:instalment:"
_CYCLE = "credits:cycle:"
_SUBSCRIPTION = "credits:subscription:"
_CUSTOMER = "credits:customer:"
REFUND = "credits:refund:"
DISPUTE = "credits:dispute:"
_OFFER = "credits:offer:"
_MANUAL = "credits:manual:"
REVOKE = "credits:revoke:"
ADJUST = "credits:adjust:"

_TAKE_BACKS = (REFUND, DISPUTE, REVOKE)
_CORRECTIONS = (*_TAKE_BACKS, ADJUST)
_WITH_OWN_DELIVERY = (*_CORRECTIONS, _INSTALMENT)

# These subjects are for one meter, so that they are keys as well.
_ENDS_IN_METER = (_INSTALMENT, _MANUAL, REVOKE)

# Replaces a rule's name where a person granted the credits. No rule can have an empty name.
NO_RULE = ""

# No rule's name contains a comma.
RULE_SEPARATOR = ","

LONGEST_TEXT = 500  # Polar's limit for a metadata value


class Part(Struct, frozen=True, kw_only=True):
    """One rule's share of a grant, in credits; negative if they are taken back."""

    rule: str
    units: Decimal
    revocable: bool = False
    """Whether a refund takes this part back. Frozen with the grant, so later rules do not change it."""
    disputable: bool = False
    """Whether a lost dispute takes this part back. Frozen, too."""
    every: Every | None = None
    """How often this part is given again until the paid period ends. Frozen, too."""


class Revision(Struct, frozen=True, kw_only=True):
    """What an adjustment changes: a rule's part of an order's credits, before refunds."""

    before: Decimal
    after: Decimal


class Grant(Struct, frozen=True, kw_only=True, dict=True):
    """Credits for one customer on one meter, from one fact; negative if they are taken back."""

    subject: str
    customer_id: str
    meter: str
    property_name: str
    parts: tuple[Part, ...]
    order_id: str | None = None
    reason: str = ""
    """Why a person granted it. Sent to Polar."""
    revision: Revision | None = None
    """Of an adjustment: from and to what it leads; ``units`` differs where refunds took a share."""
    period: PaidPeriod | None = None
    """Of an order with instalments: the period in which the later ones follow."""

    @cached_property  # cached, like the two below, because each is read about ten times
    def key(self) -> str:
        """Return the key of the grant in the ledger, which is also its ``external_id`` at Polar."""
        return grant_key(self.subject, self.meter)

    @cached_property
    def units(self) -> Decimal:
        """Return the credits of all rules together."""
        return sum([part.units for part in self.parts], Decimal(0))

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """Return the names of the rules that share in the grant; none if a person made it.

        A grant read back from Polar has one part, whose name lists all its rules.
        """
        named = [part.rule for part in self.parts if part.rule != NO_RULE]
        return tuple(RULE_SEPARATOR.join(named).split(RULE_SEPARATOR)) if named else ()


def order_subject(order_id: str) -> str:
    """Return the subject of the fact "this order was paid": the prefix of its grants' keys."""
    return _ORDER + order_id


def instalment_subject(order_id: str, number: int, meter: str) -> str:
    """Return the subject of the fact "this instalment of an order came due"; ``number`` counts from 2."""
    return f"{_INSTALMENT}{order_id}:{number}:{meter}"


def is_instalment(subject: str) -> bool:
    """Return whether the grants of ``subject`` are a later instalment of an order."""
    return subject.startswith(_INSTALMENT)


def instalment_number(subject: str) -> int:
    """Return the number of the instalment that has this subject."""
    return int(subject.removeprefix(_INSTALMENT).split(":", 2)[1])


def cycle_subject(subscription_id: str, period_start: datetime) -> str:
    """Return the subject of the fact "this period of a subscription began"."""
    return f"{_CYCLE}{subscription_id}:{int(period_start.timestamp())}"


def subscription_subject(subscription_id: str) -> str:
    """Return the subject of the fact "this subscription was created"."""
    return _SUBSCRIPTION + subscription_id


def customer_subject(customer_id: str, rule: str | None = None) -> str:
    """Return the subject of the fact "this rule credited this customer".

    Without a rule, the fact is "this customer was created".
    """
    return f"{_CUSTOMER}{customer_id}:{rule}" if rule else _CUSTOMER + customer_id


def refund_subject(order_id: str, refunded_amount: int) -> str:
    """Return the subject of the fact "this order's refunds add up to this amount" (in cents)."""
    return f"{REFUND}{order_id}:{refunded_amount}"


def dispute_subject(dispute_id: str) -> str:
    """Return the subject of the fact "this dispute was lost"."""
    return DISPUTE + dispute_id


def offer_key_subject(offer: str, key: str) -> str:
    """Return the subject of the fact "the storefront gave this offer under this key"."""
    return f"{_OFFER}{offer}:key:{key}"


def offer_customer_subject(offer: str, customer_id: str) -> str:
    """Return the subject of the fact "this customer got this offer", which each gets once."""
    return f"{_OFFER}{offer}:customer:{customer_id}"


def capped_offer(subject: str) -> str | None:
    """Return the offer that a subject names if each customer may get it several times; else None."""
    match subject.split(":"):
        case ["credits", "offer", offer, "key", _]:
            return offer
    return None


def manual_subject(key: str, customer: str, meter: str) -> str:
    """Return the subject of the fact "a person granted this customer credits under this key"."""
    return f"{_MANUAL}{key}:{customer}:{meter}"


def manual_key(subject: str) -> str:
    """Return the key that a person chose for the grant with this subject."""
    return subject.removeprefix(_MANUAL).partition(":")[0]


def manual_delivery(subject: str) -> str:
    """Return the id of the delivery that makes the manual grant with this subject."""
    return "manual-" + subject.removeprefix(_MANUAL)


def revoke_subject(order_id: str, meter: str) -> str:
    """Return the subject of the fact "a person took back the rest of this order's credits"."""
    return f"{REVOKE}{order_id}:{meter}"


def adjust_subject(order_id: str, number: int) -> str:
    """Return the subject of the fact "an order's credits were adjusted", for the nth time from 1."""
    return f"{ADJUST}{order_id}:{number}"


def is_order_subject(subject: str) -> bool:
    """Return whether the grants of ``subject`` are what rules gave an order."""
    return subject.startswith(_ORDER)


def adjustment_number(subject: str) -> int:
    """Return the number of the adjustment that has this subject."""
    return int(subject.rpartition(":")[2])


def is_take_back(subject: str) -> bool:
    """Return whether the grants of ``subject`` take credits back."""
    return subject.startswith(_TAKE_BACKS)


def is_adjustment(subject: str) -> bool:
    """Return whether the grants of ``subject`` adjust an order's credits, up or down."""
    return subject.startswith(ADJUST)


def is_correction(subject: str) -> bool:
    """Return whether the grants of ``subject`` change what was credited before: take-backs, adjustments."""
    return subject.startswith(_CORRECTIONS)


def has_own_delivery(subject: str) -> bool:
    """Return whether the grants of ``subject`` are sent by a delivery of their own, not by their order's."""
    return subject.startswith(_WITH_OWN_DELIVERY)


def order_of(subject: str) -> str | None:
    """Return the id of the order that a subject names; None if it names none."""
    for prefix in (_ORDER, _INSTALMENT, REFUND, REVOKE, ADJUST):
        if subject.startswith(prefix):
            return subject.removeprefix(prefix).partition(":")[0]
    return None


def grant_key(subject: str, meter: str) -> str:
    """Return the key under which ``subject`` can be credited on ``meter`` exactly once.

    The subject of an instalment, and of a grant or revoke by hand, already ends in the meter.
    """
    return subject if subject.startswith(_ENDS_IN_METER) else f"{subject}:{meter}"


def subject_of(key: str, meter: str) -> str:
    """Return the subject of the grant on ``meter`` that has this key."""
    return key if key.startswith(_ENDS_IN_METER) else key.removesuffix(f":{meter}")
