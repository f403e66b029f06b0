"""Reads the delivery of an instalment that is due, and what Polar shows of its subscription."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict

from workers.core.instalments import InstalmentRequest, SubscriptionState
from workers.core.shapes import BodyReader, Moment, check_years, read_row, spell_ids


class _Request(Struct, frozen=True, kw_only=True):
    order_id: str
    number: Annotated[int, Meta(ge=2)]
    meter: str
    customer_id: str
    subscription_id: str
    product_id: str

    def __post_init__(self) -> None:
        """Spell the ids; raise an error if one is not a UUID."""
        spell_ids(self, "order_id", "customer_id", "subscription_id", "product_id")


class _Body(Struct, frozen=True, kw_only=True):
    data: _Request


_BODY = BodyReader(_Body)


class _Subscription(Struct, frozen=True, kw_only=True):
    status: str
    product_id: str | None = None
    ended_at: Moment | None = None

    def __post_init__(self) -> None:
        """Raise an error if the time is out of range."""
        check_years(self, "ended_at")


def read_instalment_request(body: bytes) -> InstalmentRequest:
    """Return the request in the body of such a delivery; UnreadablePayloadError if it has another shape."""
    return InstalmentRequest(**asdict(_BODY.read(body).data))


def read_subscription(row: Mapping[str, Any]) -> SubscriptionState:
    """Return what a row of Polar's decides about instalments; UnreadablePayloadError if it is no such row."""
    read = read_row(_Subscription, row)
    return SubscriptionState(status=read.status, product_id=read.product_id, ended_at=read.ended_at)
