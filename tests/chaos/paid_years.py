"""The plans of the model that are credited again each month or week, and what Polar shows of them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.world import CENTS, PaidTime, RuleSpec, SentWebhook
from tests.support.builders import PRODUCT, some_id
from tests.support.paid_periods import paid_for

_BOTH = ("subscription_create", "subscription_update")

YEAR = RuleSpec(
    name="year",
    gives={"api_usage": "90"},
    triggers=_BOTH,
    every="month",
    revokes=True,
    revokes_disputed=True,
)
WEEKS = RuleSpec(name="weeks", gives={"seconds": "0.7"}, triggers=_BOTH, every="week", revokes=True)
EXTRA = RuleSpec(name="extra", gives={"api_usage": "5"}, triggers=_BOTH, revokes_disputed=True)
"""It adds to the first instalment alone."""

_BEGINS = datetime(2026, 11, 20, 6, tzinfo=UTC)
_CHANGED = datetime(2026, 11, 21, tzinfo=UTC)  # when the model begins
_ENDS = _BEGINS + timedelta(days=65)
ANNS, BENS = some_id(71), some_id(72)
SUBSCRIPTIONS = {"Ann's": ANNS, "Ben's": BENS}

STATES: Mapping[str, Mapping[str, Any] | None] = {
    "active": {"status": "active", "product_id": PRODUCT, "ended_at": None},
    "trialing": {"status": "trialing", "product_id": PRODUCT, "ended_at": None},
    "past_due": {"status": "past_due", "product_id": PRODUCT, "ended_at": None},
    "paused": {"status": "paused", "product_id": PRODUCT, "ended_at": None},
    "ended": {"status": "canceled", "product_id": PRODUCT, "ended_at": "2026-12-24T00:00:00Z"},
    "another product": {"status": "active", "product_id": some_id(42), "ended_at": None},
    "hidden": None,
}
"""What Polar shows of a subscription; None: it does not find it."""


def says(row: Mapping[str, Any] | None, at: datetime, date: datetime) -> str:
    """Return what is to become of an instalment with this date: "give", "wait" or "end"."""
    if at < date or row is None:
        return "wait"
    if row["ended_at"] or row["product_id"] != PRODUCT:
        return "end"
    return "give" if row["status"] in {"active", "trialing"} else "wait"


def paid_year(number: int, customer_id: str, subscription_id: str, *, is_change: bool = False) -> SentWebhook:
    """Return the order of a plan; one that changes the plan pays the rest of the period."""
    order_id = some_id(number)
    at = _CHANGED if is_change else _BEGINS
    data: dict[str, Any] = {
        "id": order_id,
        "customer_id": customer_id,
        "product_id": PRODUCT,
        "net_amount": CENTS,
        "billing_reason": "subscription_update" if is_change else "subscription_create",
        "created_at": at.isoformat(),
    }
    return SentWebhook(
        body=paid_for(_BEGINS, _ENDS, subscription_id=subscription_id, **data),
        subject=f"credits:order:{order_id}",
        customer_id=customer_id,
        trigger="subscription_update" if is_change else "subscription_create",
        order_id=order_id,
        paid=PaidTime(subscription_id=subscription_id, begins=at, ends=_ENDS),
    )


def refunded_year(order: SentWebhook, cents: int, *, is_full: bool = False) -> SentWebhook:
    """Return a refund webhook: ``cents`` of the order have been refunded in total."""
    body = json.loads(order.body)
    body["type"] = "order.refunded"
    body["data"] |= {
        "refunded_amount": cents,
        "status": "refunded" if is_full else "partially_refunded",
    }
    return replace(
        order, body=json.dumps(body).encode(), trigger="", refunded_cents=cents, is_full=is_full, paid=None
    )
