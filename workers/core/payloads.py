"""Reads the bodies of Polar's webhooks. Unknown fields and types are ignored.

The shapes follow Polar's OpenAPI (2026-10) and webhooks that a Polar server sent (``tests/payloads``).
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct

from config.cel.numbers import bound_integers
from workers.core.shapes import BodyReader, Cents, Moment, NonNegativeCents, check_years, parse, spell_ids

# A reason quotes an unknown billing reason, so the length is bounded.
BillingReason = Annotated[str, Meta(max_length=100)]

# Nineteen digits in a row may exceed a 64-bit integer. Turning all digits into zeros and searching for 19 of
# them takes a tenth of the time of a regular expression.
_LONG_NUMBER = b"0" * 19
_AS_ZEROS = bytes(ord("0") if chr(byte).isdecimal() else ord(" ") for byte in range(256))

Data = TypeVar("Data")


class Subscription(Struct, frozen=True, kw_only=True):
    """The subscription at the time of the webhook. The orders API shows it as of today."""

    ended_at: Moment | None = None
    trial_start: Moment | None = None
    trial_end: Moment | None = None
    # Only rules with `every` need these. workers.core.periods reads them, and says where they are unreadable.
    id: Any = None
    current_period_start: Any = None
    current_period_end: Any = None

    def __post_init__(self) -> None:
        """Raise an error if a time is out of range."""
        check_years(self, "ended_at", "trial_start", "trial_end")


class Order(Struct, frozen=True, kw_only=True):
    """An order. Its billing reason and its subscription's dates decide its trigger."""

    id: str
    created_at: Moment
    billing_reason: BillingReason
    customer_id: str
    product_id: str | None = None
    subscription: Subscription | None = None
    status: str = "paid"
    net_amount: Cents = 0
    applied_balance_amount: Cents = 0
    refunded_amount: NonNegativeCents = 0
    """All refunds so far, without tax."""

    def __post_init__(self) -> None:
        """Spell the ids; raise an error if one is not a UUID, or a time is out of range."""
        spell_ids(self, "id", "customer_id", "product_id")
        check_years(self, "created_at")

    @property
    def is_trial_start(self) -> bool:
        """Return whether this is a subscription's first order, made within its trial."""
        return (
            self.billing_reason == "subscription_create"
            and self.subscription is not None
            and _within(self.created_at, self.subscription.trial_start, self.subscription.trial_end)
        )

    @property
    def is_final_invoice(self) -> bool:
        """Return whether this is a cycle's order, made after its subscription ended."""
        return (
            self.billing_reason == "subscription_cycle"
            and self.subscription is not None
            and self.subscription.ended_at is not None
            and self.created_at >= self.subscription.ended_at
        )


class Period(Struct, frozen=True, kw_only=True):
    """The period that a subscription has begun; ``id`` is the subscription's id."""

    id: str
    current_period_start: Moment
    customer_id: str
    product_id: str | None = None

    def __post_init__(self) -> None:
        """Spell the ids; raise an error if one is not a UUID, or a time is out of range."""
        spell_ids(self, "id", "customer_id", "product_id")
        check_years(self, "current_period_start")


class NewSubscription(Struct, frozen=True, kw_only=True):
    """A subscription that was created."""

    id: str
    created_at: Moment
    customer_id: str
    product_id: str | None = None
    trial_end: Moment | None = None

    def __post_init__(self) -> None:
        """Spell the ids; raise an error if one is not a UUID, or a time is out of range."""
        spell_ids(self, "id", "customer_id", "product_id")
        check_years(self, "created_at", "trial_end")

    @property
    def begins_with_trial(self) -> bool:
        """Return whether its first period is a trial."""
        return self.trial_end is not None and self.created_at < self.trial_end


class Customer(Struct, frozen=True, kw_only=True):
    """A customer who was created."""

    id: str
    created_at: Moment

    def __post_init__(self) -> None:
        """Spell the id; raise an error if it is not a UUID, or the time is out of range."""
        spell_ids(self, "id")
        check_years(self, "created_at")


class DeletedCustomer(Struct, frozen=True, kw_only=True):
    """A customer who was deleted."""

    id: str

    def __post_init__(self) -> None:
        """Spell the id; raise an error if it is not a UUID."""
        spell_ids(self, "id")


class _Webhook(Struct, Generic[Data], frozen=True, kw_only=True):
    data: Data


_ORDER = BodyReader(_Webhook[Order])
_PERIOD = BodyReader(_Webhook[Period])
_NEW_SUBSCRIPTION = BodyReader(_Webhook[NewSubscription])
_CUSTOMER = BodyReader(_Webhook[Customer])
_DELETED_CUSTOMER = BodyReader(_Webhook[DeletedCustomer])


class Read(Struct, Generic[Data], frozen=True, kw_only=True, dict=True):
    """A webhook that was read: ``view`` has the fields of its data that we use."""

    view: Data
    body: bytes

    @cached_property
    def raw(self) -> Mapping[str, Any]:
        """Return all of its data, for expressions; UnreadablePayloadError if the body cannot be parsed.

        It is parsed when an expression needs it, because that takes several times as long as reading the
        view, whose reader hardly looks at the rest.
        """
        data: Mapping[str, Any] = parse(self.body)["data"]
        # Checking every value would double the time, and such long numbers are rare.
        return bound_integers(data) if _LONG_NUMBER in self.body.translate(_AS_ZEROS) else data


def read_order(body: bytes) -> Read[Order]:
    """Return the order of an ``order.*`` webhook; UnreadablePayloadError if the body cannot be read."""
    return _read(body, _ORDER)


def read_period(body: bytes) -> Read[Period]:
    """Return the period that a webhook says has begun; UnreadablePayloadError if it cannot be read."""
    return _read(body, _PERIOD)


def read_new_subscription(body: bytes) -> Read[NewSubscription]:
    """Return the subscription of a ``subscription.created`` webhook; UnreadablePayloadError if unreadable."""
    return _read(body, _NEW_SUBSCRIPTION)


def read_customer(body: bytes) -> Read[Customer]:
    """Return the customer of a ``customer.*`` webhook; UnreadablePayloadError if it cannot be read."""
    return _read(body, _CUSTOMER)


def read_deleted_customer(body: bytes) -> Read[DeletedCustomer]:
    """Return the customer of a ``customer.deleted`` webhook; UnreadablePayloadError if it cannot be read."""
    return _read(body, _DELETED_CUSTOMER)


def _read(body: bytes, reader: BodyReader[_Webhook[Data]]) -> Read[Data]:
    return Read(view=reader.read(body).data, body=body)


def _within(moment: datetime, start: datetime | None, end: datetime | None) -> bool:
    return start is not None and end is not None and start <= moment < end
