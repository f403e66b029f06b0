"""Builds orders that have paid for a period of a subscription, and the subscriptions as Polar shows them."""

import json
from datetime import datetime
from typing import Any

from tests.support.builders import order_webhook

YEARLY = "order_paid_subscription_create_yearly"


def paid_for(begins: datetime, ends: datetime, *, subscription_id: str, **data: Any) -> bytes:
    """Return the webhook of an order that has paid for this period; ``data`` are fields of the order."""
    usual = {"created_at": begins.isoformat(), "subscription_id": subscription_id}
    body = json.loads(order_webhook(YEARLY, **(usual | data)))
    customer_id, product_id = body["data"]["customer_id"], body["data"]["product_id"]
    body["data"]["subscription"] |= {
        "id": subscription_id,
        "customer_id": customer_id,
        "product_id": product_id,
        "current_period_start": begins.isoformat(),
        "current_period_end": ends.isoformat(),
    }
    return json.dumps(body).encode()


def subscription_in(body: bytes) -> dict[str, Any]:
    """Return the subscription of such an order, as Polar lists it."""
    subscription: dict[str, Any] = json.loads(body)["data"]["subscription"]
    return subscription | {"started_at": subscription["current_period_start"]}
