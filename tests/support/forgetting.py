"""Deliveries about a customer who is to be forgotten, and about others."""

from tests.support.builders import CUSTOMER, order_webhook, refund_webhook, rule, rules_of, some_id, webhook
from workers.operations.forget import CustomerEraser

RULES = rules_of(
    rule("pack", {"api_usage": 10}, on_refund="revoke"),
    rule("bonus", {"api_usage": 50}, once_per="customer"),
    rule("included", {"images": 3}, triggers=["subscription.cycled"]),
    rule("welcome", {"api_usage": 25}, triggers=["customer.created"]),
)
REFUSED, ANOTHER = some_id(4), some_id(5)

# The usual customer's deliveries: every possible outcome, and every kind of stored data.
THEIRS = {
    "granted": order_webhook(id=some_id(1)),
    "granted before": order_webhook(id=some_id(1)),
    "with a bonus": order_webhook(id=some_id(2)),
    "skipped": order_webhook("order_paid_subscription_cancel_final_invoice", customer_id=CUSTOMER),
    "refund": refund_webhook(300, id=some_id(1)),
    "refund of an order that never came": refund_webhook(300, id=some_id(3)),
    "period": webhook("subscription_cycled", customer_id=CUSTOMER),
    "created": webhook("customer_created", id=CUSTOMER),
}
OTHERS = {
    "another's": order_webhook(id=some_id(7), customer_id=ANOTHER),
    "refused by Polar": order_webhook(id=some_id(6), customer_id=REFUSED),
    "no event": b"no event",
}


def names(eraser: CustomerEraser, customer_id: str = CUSTOMER) -> set[str]:
    """Return the ids of the deliveries that are found of a customer."""
    """Return the ids of the deliveries that are found of a customer."""
    return {one.id for one in eraser.settled(customer_id)}
