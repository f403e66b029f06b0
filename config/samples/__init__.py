"""Sample webhooks: bodies that a Polar server sent. ``make_sample`` gives them fresh ids and times."""

import json
import re
from datetime import UTC, datetime
from importlib.resources import files
from uuid import uuid4

# The file of each sample, by the sample's name. A sample for a trigger has the trigger's name.
SAMPLES = {
    "purchase": "order_paid_purchase",
    "subscription_create": "order_paid_subscription_create",
    "subscription_create_yearly": "order_paid_subscription_create_yearly",
    "trial_start": "order_paid_trial_start_zero",
    "subscription_cycle": "order_paid_subscription_cycle",
    "subscription_update": "order_paid_subscription_update",
    "subscription_meter_cycle": "order_paid_subscription_meter_cycle",
    "final_invoice": "order_paid_subscription_cancel_final_invoice",
    "order.refunded": "order_refunded_full",
    "subscription.created": "subscription_created_by_api_free_no_order",
    "subscription.cycled": "subscription_cycled",
    "subscription.resumed": "subscription_resumed",
    "customer.created": "customer_created",
    "customer.deleted": "customer_deleted",
    "customer.state_changed": "customer_state_changed",
}

_MOMENT = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"')


def read_sample(name: str) -> str:
    """Return the body of the sample ``name`` as it was sent."""
    return (files("config.samples") / f"{SAMPLES[name]}.json").read_text(encoding="utf-8")


def make_sample(
    name: str, *, product: str | None = None, customer: str | None = None, order: str | None = None
) -> bytes:
    """Return the body of the sample ``name`` as if it were sent now.

    The order and its subscription get fresh ids, as does the customer in ``customer.created``. Otherwise, the
    product and the customer keep their ids. An id that is given replaces the sample's. All times are moved by
    the same span.
    """
    text = read_sample(name)
    body = json.loads(text)
    data = body["data"]
    is_order = body["type"].startswith("order.")
    replaced = {data["id"]: order if order and is_order else str(uuid4())}
    if subscription := data.get("subscription"):
        replaced[subscription["id"]] = str(uuid4())
    if product and data.get("product_id"):
        replaced[data["product_id"]] = product
    if customer:
        replaced[data.get("customer_id") or data["id"]] = customer
    for old, new in replaced.items():
        text = text.replace(old, new)
    shift = datetime.now(UTC) - datetime.fromisoformat(body["timestamp"])
    return _MOMENT.sub(lambda found: f'"{_iso(datetime.fromisoformat(found[1]) + shift)}"', text).encode()


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
