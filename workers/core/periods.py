"""Reads from an order's webhook which period of its subscription the order has paid."""

from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from workers.core.payloads import Order
from workers.core.schedule import PaidPeriod
from workers.core.views import Id, Moment

_ID: TypeAdapter[str] = TypeAdapter(Id)
_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)

Value = TypeVar("Value")


def paid_period(order: Order) -> PaidPeriod | None:
    """Return the period that an order has paid; None if its webhook shows none.

    The order of a change within a period pays the rest of it.
    """
    subscription = order.subscription
    if subscription is None:
        return None
    start = _read(_MOMENT, subscription.current_period_start)
    end = _read(_MOMENT, subscription.current_period_end)
    is_change = order.billing_reason == "subscription_update"
    if is_change and start is not None and end is not None and start < order.created_at < end:
        start = order.created_at
    return _period(order, start, end)


def trial_period(order: Order) -> PaidPeriod | None:
    """Return the trial that an order began; None if its webhook shows none."""
    subscription = order.subscription
    return _period(order, subscription.trial_start, subscription.trial_end) if subscription else None


def _period(order: Order, start: datetime | None, end: datetime | None) -> PaidPeriod | None:
    subscription_id = _read(_ID, order.subscription.id) if order.subscription else None
    if subscription_id is None or order.product_id is None or start is None or end is None or start >= end:
        return None
    return PaidPeriod(
        subscription_id=subscription_id,
        product_id=order.product_id,
        start=_in_milliseconds(start),
        end=_in_milliseconds(end),
        ordered_at=_in_milliseconds(order.created_at),
    )


def _read(adapter: TypeAdapter[Value], value: Any) -> Value | None:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None


def _in_milliseconds(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)
