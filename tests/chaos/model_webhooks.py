"""The webhooks of the model: few customers, and orders that affect each other."""

import json
from collections.abc import Mapping
from dataclasses import replace

from tests.chaos.paid_years import ANNS, BENS, paid_year, refunded_year
from tests.chaos.world import CENTS, LATER, SentWebhook
from tests.support.builders import PRODUCT, order_webhook, some_id, webhook
from workers.core.dispute_delivery import DISPUTE_LOST
from workers.core.manual import ManualRevoke

ANN, BEN, CID = some_id(21), some_id(22), some_id(23)
CUSTOMERS = {"Ann": ANN, "Ben": BEN}
"""Cid is not among them: Polar always knows her, and her purchases show that it works."""
BROKEN_BY = {**CUSTOMERS, "images": "images"}
"""The customers or meters to whose events Polar may answer 500."""

_EARLIER = "2026-11-01T23:59:59Z"  # the last second before LATER
OTHER_PRODUCT = some_id(41)
_PERIOD_BEGINS = "2026-11-20T00:00:00Z"
_PERIOD_SECONDS = 1_795_132_800  # the same moment

_DROPPED_FIELDS = {
    "product",
    "product_price",
    "customer",
    "user",
    "items",
    "prices",
    "meters",
    "description",
    "price",
}
_BUYERS = {1: ANN, 2: ANN, 3: BEN, 4: BEN, 5: BEN}
_BALANCES = {2: 400}
"""The part of an order that was paid from the customer's balance, in cents."""


def _shortened(body: bytes) -> bytes:
    """Return a recorded webhook without its long product and customer fields: it is parsed very often."""
    whole = json.loads(body)
    whole["data"] = {key: value for key, value in whole["data"].items() if key not in _DROPPED_FIELDS}
    return json.dumps(whole).encode()


def _order(number: int, kind: str = "purchase", *, cents: int = 0, is_full: bool = False) -> SentWebhook:
    """Return a paid order of which ``cents`` have been refunded when its webhook is sent."""
    order_id, customer_id = some_id(number), _BUYERS.get(number, CID)
    is_late, product_id = number != 1, OTHER_PRODUCT if number == 3 else PRODUCT
    partly = "partially_refunded" if cents else "paid"
    data = {
        "id": order_id,
        "customer_id": customer_id,
        "created_at": LATER if is_late else _EARLIER,
        "product_id": product_id,
        "net_amount": CENTS - _BALANCES.get(number, 0),
        "applied_balance_amount": _BALANCES.get(number, 0),
        "refunded_amount": cents,
        "status": "refunded" if is_full else partly,
    }
    return SentWebhook(
        body=_shortened(order_webhook(f"order_paid_{kind}", **data)),
        subject=f"credits:order:{order_id}",
        customer_id=customer_id,
        trigger=kind,
        order_id=order_id,
        product_id=product_id,
        is_late=is_late,
        refunded_cents=cents,
        is_full=is_full,
    )


def _refund(number: int, cents: int, *, is_full: bool = False) -> SentWebhook:
    """Return a refund webhook: ``cents`` of the order have been refunded in total."""
    order = _order(number, cents=cents, is_full=is_full)
    return replace(order, body=order.body.replace(b'"order.paid"', b'"order.refunded"'), trigger="")


def _dispute(order: SentWebhook, which: int, cents: int, *, currency: str = "usd") -> SentWebhook:
    """Return what the reconciler makes of a lost dispute; a person must review one in another currency."""
    dispute_id = some_id(which)
    dispute = {"id": dispute_id, "order_id": order.order_id, "amount": cents, "currency": currency}
    data = {"dispute": dispute | {"status": "lost"}, "order": json.loads(order.body)["data"]}
    is_readable = currency == "usd"
    return replace(
        order,
        body=json.dumps({"type": DISPUTE_LOST, "data": data}).encode(),
        trigger="",
        paid=None,
        dispute_id=dispute_id,
        disputed_cents=cents if is_readable else 0,
        is_readable=is_readable,
    )


def _begun(number: int, customer_id: str) -> SentWebhook:
    subscription = some_id(number)
    return SentWebhook(
        body=_shortened(
            webhook(
                "subscription_cycled",
                id=subscription,
                customer_id=customer_id,
                current_period_start=_PERIOD_BEGINS,
            )
        ),
        subject=f"credits:cycle:{subscription}:{_PERIOD_SECONDS}",
        customer_id=customer_id,
        trigger="subscription.cycled",
    )


def _started(number: int, customer_id: str) -> SentWebhook:
    """Return the start of a subscription, which an order may or may not follow."""
    subscription = some_id(number)
    return SentWebhook(
        body=_shortened(webhook("subscription_created_active", id=subscription, customer_id=customer_id)),
        subject=f"credits:subscription:{subscription}",
        customer_id=customer_id,
        trigger="subscription.created",
    )


def _created(customer_id: str) -> SentWebhook:
    return SentWebhook(
        body=_shortened(webhook("customer_created", id=customer_id)),
        subject=f"credits:customer:{customer_id}",
        customer_id=customer_id,
        trigger="customer.created",
    )


def _revoke(order: SentWebhook, meter: str | None = None) -> SentWebhook:
    """Return a manual revoke of all credits of an order."""
    asked = ManualRevoke(order_id=order.order_id, customer_id=order.customer_id, meter=meter)
    return replace(order, body=asked.delivery()[2], trigger="", paid=None, revokes=meter or "*")


def _as_it_is_now(order: SentWebhook) -> SentWebhook:
    """Return an order as the orders API shows it later: its subscription has been cancelled since."""
    body = json.loads(order.body)
    if body["data"]["subscription"]:
        body["data"]["subscription"] |= {"status": "canceled", "ended_at": "2026-12-20T00:00:00Z"}
    return replace(order, body=json.dumps(body).encode())


def _final_invoice(number: int) -> SentWebhook:
    """Return the last invoice of an ended subscription, for which no rule can have a trigger."""
    order = _order(number, "subscription_cycle")
    body = json.loads(order.body)
    body["data"]["subscription"]["ended_at"] = _EARLIER
    return replace(order, body=json.dumps(body).encode(), trigger="")


YEARS: Mapping[str, SentWebhook] = {
    "year 6": paid_year(6, ANN, ANNS),
    "year 7, which replaces 6": paid_year(7, ANN, ANNS, is_change=True),
    "year 8": paid_year(8, BEN, BENS),
}
"""Orders that are credited again each month and week of the time that they paid."""

WEBHOOKS: Mapping[str, SentWebhook] = {
    **YEARS,
    "order 1": _order(1),
    "order 2": _order(2),
    "order 2 told late": _order(2, cents=450),
    "order 3": _order(3),
    "order 4": _order(4, "subscription_cycle"),
    "order 5": _final_invoice(5),
    "order 5 reinstated": _order(5, "subscription_cycle"),
    "period": _begun(31, BEN),
    "start": _started(41, BEN),
    "new Ann": _created(ANN),
    "new Ben": _created(BEN),
    "nonsense": SentWebhook(
        body=b'{"type": "order.paid", "data": {}}', subject="", customer_id="", is_readable=False
    ),
}
"""Webhooks that may earn credits."""

ORDERS_TODAY: Mapping[str, SentWebhook] = {
    "order 1": _as_it_is_now(_order(1, cents=300)),
    "order 2": _as_it_is_now(_order(2, cents=900, is_full=True)),
    "order 4": _as_it_is_now(_order(4, "subscription_cycle")),
}
"""Orders as a backfill reads them later."""

REFUNDS = {
    "refund 1: 225": _refund(1, 225),
    "refund 1: 300": _refund(1, 300),
    "refund 1: all": _refund(1, 900, is_full=True),
    "refund 2: 700, which is all": _refund(2, 700, is_full=True),
    "refund 2: all": _refund(2, 900, is_full=True),
    "refund 2: more than all": _refund(2, 1000),
    "refund 6: 300": refunded_year(YEARS["year 6"], 300),
    "refund 6: 450": refunded_year(YEARS["year 6"], 450),
    "refund 8: 225": refunded_year(YEARS["year 8"], 225),
    "refund 8: all": refunded_year(YEARS["year 8"], 900, is_full=True),
}
"""Few, so that they affect each other and their orders."""

REVOKES = {
    "revoke 1": _revoke(_order(1)),
    "revoke 1: images": _revoke(_order(1), "images"),
    "revoke 6": _revoke(YEARS["year 6"]),
    "revoke 8: seconds": _revoke(YEARS["year 8"], "seconds"),
}
"""Before the order is credited, a revoke has no effect, then or later."""

DISPUTES = {
    "dispute 1: 250": _dispute(_order(1), 61, 250),
    "dispute 1: 500": _dispute(_order(1), 62, 500),
    "dispute 1: euros": _dispute(_order(1), 63, 100, currency="eur"),
    "dispute 2: 300": _dispute(_order(2), 64, 300),
    "dispute 2: all": _dispute(_order(2), 65, 900),
    "dispute 4: 450": _dispute(_order(4), 66, 450),
    "dispute 6: 300": _dispute(YEARS["year 6"], 67, 300),
    "dispute 7: all": _dispute(YEARS["year 7, which replaces 6"], 68, 900),
}
"""Lost disputes, which add up with each other and with the refunds of their orders."""

REVERSALS = {**REFUNDS, **REVOKES, **DISPUTES}
"""What takes credits back."""

ALL = {**WEBHOOKS, **REVERSALS}

SALE_WEBHOOKS: Mapping[str, SentWebhook] = {f"sale {number}": _order(100 + number) for number in range(1, 61)}
"""Purchases of Cid's; each is sent once."""
