"""Views of the Polar webhooks that we act on; unknown fields and types are normal.

Shapes: Polar's OpenAPI (2026-10) and webhooks that a Polar server sent (``tests/payloads``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from config.cel.expressions import bound_integers
from workers.core.envelope import validation_error_text
from workers.errors import UnreadablePayloadError

# UUID() alone reads any 32 characters that int() does, spaces among them, as some other id.
_ID = re.compile(r"(urn:uuid:)?\{?[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}\}?")
_POLARS_SPELLING = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _one_spelling(text: str) -> str:
    if _POLARS_SPELLING.fullmatch(text):
        return text
    if _ID.fullmatch(text) is None:
        raise ValueError("not an id (a UUID)")
    return str(UUID(text))


# Ids are keys of the ledger: one spelling for each, whatever the sender's.
Id = Annotated[str, AfterValidator(_one_spelling)]


_YEARS = range(1970, MAXYEAR)  # at the ends of all years, other time zones are out of reach


def _on_a_clock(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError("not a time between 1970 and 9998")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_on_a_clock)]

# It becomes part of a key.
Cents = Annotated[int, Field(ge=-(10**15), le=10**15)]

# It is repeated where it is unknown.
BillingReason = Annotated[str, Field(max_length=100)]

# What may be beyond the 64 bits of an integer in rules. A tenth of the time that a pattern takes.
_LONG_NUMBER = b"0" * 19
_AS_ZEROS = bytes(ord("0") if chr(byte).isdecimal() else ord(" ") for byte in range(256))

Data = TypeVar("Data")


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Subscription(_View):
    """The subscription as it was when the webhook was made (or is now, in the orders API)."""

    ended_at: Moment | None = None
    trial_start: Moment | None = None
    trial_end: Moment | None = None


class Order(_View):
    """An order: what of it does not change decides what it is."""

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
        """Say whether a subscription's first order was made within its trial."""
        return (
            self.billing_reason == "subscription_create"
            and self.subscription is not None
            and _within(self.created_at, self.subscription.trial_start, self.subscription.trial_end)
        )

    @property
    def is_final_invoice(self) -> bool:
        """Say whether a cycle's order was made when its subscription had ended: nobody stays."""
        return (
            self.billing_reason == "subscription_cycle"
            and self.subscription is not None
            and self.subscription.ended_at is not None
            and self.created_at >= self.subscription.ended_at
        )


class Period(_View):
    """The period that a subscription has begun: the id is the subscription's."""

    id: Id
    current_period_start: Moment
    customer_id: Id
    product_id: Id | None = None


class Customer(_View):
    """A customer."""

    id: Id
    created_at: Moment


class _Webhook(_View, Generic[Data]):
    data: Data


_ORDER_WEBHOOK = _Webhook[Order]  # to look a generic's class up costs a third of what its validation does
_PERIOD_WEBHOOK = _Webhook[Period]
_CUSTOMER_WEBHOOK = _Webhook[Customer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Read(Generic[Data]):
    """A webhook's data: the view of it, and all that was sent, for expressions to look into."""

    view: Data
    raw: Mapping[str, Any]


def read_order(body: bytes) -> Read[Order]:
    """Return the order of an ``order.*`` webhook; UnreadablePayloadError says what is wrong with it."""
    return _read(body, _ORDER_WEBHOOK)


def read_period(body: bytes) -> Read[Period]:
    """Return the period that a ``subscription.cycled`` webhook tells of, likewise."""
    return _read(body, _PERIOD_WEBHOOK)


def read_customer(body: bytes) -> Read[Customer]:
    """Return the customer of a ``customer.*`` webhook, likewise."""
    return _read(body, _CUSTOMER_WEBHOOK)


def _read(body: bytes, shape: type[_Webhook[Data]]) -> Read[Data]:
    try:
        whole = from_json(body, allow_inf_nan=False)
        view, raw = shape.model_validate(whole).data, whole["data"]
        # To look through every value takes as long as all else here, and next to none is so long.
        return Read(view=view, raw=bound_integers(raw) if _LONG_NUMBER in body.translate(_AS_ZEROS) else raw)
    except ValidationError as error:
        raise UnreadablePayloadError(validation_error_text(error)) from None
    except ValueError as error:
        raise UnreadablePayloadError(f"the body cannot be read: {error}") from None


def _within(moment: datetime, start: datetime | None, end: datetime | None) -> bool:
    return start is not None and end is not None and start <= moment < end
