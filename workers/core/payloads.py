"""Reads the bodies of Polar's webhooks. Unknown fields and types are ignored.

The shapes follow Polar's OpenAPI (2026-10) and webhooks that a Polar server sent (``tests/payloads``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    ValidationError,
)
from pydantic_core import from_json

from config.cel.numbers import bound_integers
from config.ids import read_id
from workers.core.envelope import validation_error_text
from workers.core.views import View
from workers.errors import UnreadablePayloadError

# Ids become part of the ledger's keys, so each id is reduced to one spelling.
Id = Annotated[str, AfterValidator(read_id)]


_YEARS = range(1970, MAXYEAR)  # outside these years, conversion to another time zone fails


def _in_range(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError("not a time between 1970 and 9998")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_in_range)]


# Amounts become part of a key, so their length is bounded.
Cents = Annotated[int, Field(ge=-(10**15), le=10**15)]

# A reason quotes an unknown billing reason, so the length is bounded.
BillingReason = Annotated[str, Field(max_length=100)]

# Nineteen digits in a row may exceed a 64-bit integer. Turning all digits into zeros and searching for 19 of
# them takes a tenth of the time of a regular expression.
_LONG_NUMBER = b"0" * 19
_AS_ZEROS = bytes(ord("0") if chr(byte).isdecimal() else ord(" ") for byte in range(256))

Data = TypeVar("Data")


class Subscription(View):
    """The subscription at the time of the webhook. The orders API shows it as of today."""

    ended_at: Moment | None = None
    trial_start: Moment | None = None
    trial_end: Moment | None = None
    # Only rules with `every` need these. workers.core.periods reads them, and says where they are unreadable.
    id: Any = None
    current_period_start: Any = None
    current_period_end: Any = None


class Order(View):
    """An order. Its billing reason and its subscription's dates decide its trigger."""

    id: Id
    created_at: Moment
    billing_reason: BillingReason
    customer_id: Id
    product_id: Id | None = None
    subscription: Subscription | None = None
    status: str = "paid"
    net_amount: Cents = 0
    applied_balance_amount: Cents = 0
    refunded_amount: Annotated[Cents, Field(ge=0)] = 0
    """All refunds so far, without tax."""

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


class Period(View):
    """The period that a subscription has begun; ``id`` is the subscription's id."""

    id: Id
    current_period_start: Moment
    customer_id: Id
    product_id: Id | None = None


class NewSubscription(View):
    """A subscription that was created."""

    id: Id
    created_at: Moment
    customer_id: Id
    product_id: Id | None = None
    trial_end: Moment | None = None

    @property
    def begins_with_trial(self) -> bool:
        """Return whether its first period is a trial."""
        return self.trial_end is not None and self.created_at < self.trial_end


class Customer(View):
    """A customer who was created."""

    id: Id
    created_at: Moment


class DeletedCustomer(View):
    """A customer who was deleted."""

    id: Id


class _Webhook(View, Generic[Data]):
    data: Data


_ORDER_WEBHOOK = _Webhook[Order]  # looking up a generic class takes a third of the time of a validation
_PERIOD_WEBHOOK = _Webhook[Period]
_NEW_SUBSCRIPTION_WEBHOOK = _Webhook[NewSubscription]
_CUSTOMER_WEBHOOK = _Webhook[Customer]
_DELETED_CUSTOMER_WEBHOOK = _Webhook[DeletedCustomer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Read(Generic[Data]):
    """A webhook's data: the fields that we use (``view``), and everything that was sent, for expressions."""

    view: Data
    raw: Mapping[str, Any]


def read_order(body: bytes) -> Read[Order]:
    """Return the order of an ``order.*`` webhook; UnreadablePayloadError if the body cannot be read."""
    return _read(body, _ORDER_WEBHOOK)


def read_period(body: bytes) -> Read[Period]:
    """Return the period that a webhook says has begun; UnreadablePayloadError if it cannot be read."""
    return _read(body, _PERIOD_WEBHOOK)


def read_new_subscription(body: bytes) -> Read[NewSubscription]:
    """Return the subscription of a ``subscription.created`` webhook; UnreadablePayloadError if unreadable."""
    return _read(body, _NEW_SUBSCRIPTION_WEBHOOK)


def read_customer(body: bytes) -> Read[Customer]:
    """Return the customer of a ``customer.*`` webhook; UnreadablePayloadError if it cannot be read."""
    return _read(body, _CUSTOMER_WEBHOOK)


def read_deleted_customer(body: bytes) -> Read[DeletedCustomer]:
    """Return the customer of a ``customer.deleted`` webhook; UnreadablePayloadError if it cannot be read."""
    return _read(body, _DELETED_CUSTOMER_WEBHOOK)


def _read(body: bytes, shape: type[_Webhook[Data]]) -> Read[Data]:
    try:
        whole = from_json(body, allow_inf_nan=False)
        view, raw = shape.model_validate(whole).data, whole["data"]
        # Checking every value would double the time, and such long numbers are rare.
        return Read(view=view, raw=bound_integers(raw) if _LONG_NUMBER in body.translate(_AS_ZEROS) else raw)
    except ValidationError as error:
        raise UnreadablePayloadError(validation_error_text(error)) from None
    except ValueError as error:
        raise UnreadablePayloadError(f"the body cannot be read: {error}") from None


def _within(moment: datetime, start: datetime | None, end: datetime | None) -> bool:
    return start is not None and end is not None and start <= moment < end
