"""Who and what the model's stories are about: few customers, orders that meet, rules that change."""

import json
from collections.abc import Mapping
from dataclasses import replace

from tests.chaos.world import CENTS, LATER, File, Line, Told
from tests.support.builders import PRODUCT, order_webhook, some_id, webhook
from workers.core.manual import ManualRevoke

ANN, BEN, CID = some_id(21), some_id(22), some_id(23)
CUSTOMERS = {"Ann": ANN, "Ben": BEN}
"""Cid is always known to Polar: by what she buys it is seen to be well."""
STONES = {**CUSTOMERS, "images": "images"}
"""Whose events Polar may stumble over, or on which meter."""

_EARLIER = "2026-11-01T23:59:59Z"  # the last second before LATER
_OTHER_PRODUCT = some_id(41)
_PERIOD_BEGINS = "2026-11-20T00:00:00Z"
_PERIOD_SECONDS = 1_795_132_800  # the same moment

_TALES = {"product", "product_price", "customer", "user", "items", "prices", "meters", "description", "price"}
_BUYERS = {1: ANN, 2: ANN, 3: BEN, 4: BEN, 5: BEN}
_BALANCES = {2: 400}
"""How much of an order was paid from the customer's balance, in cents."""


def _in_short(body: bytes) -> bytes:
    """Return a real webhook without its long tales of product and customer: stories read it ever again."""
    whole = json.loads(body)
    whole["data"] = {key: value for key, value in whole["data"].items() if key not in _TALES}
    return json.dumps(whole).encode()


def _order(number: int, kind: str = "purchase", *, cents: int = 0, is_full: bool = False) -> Told:
    """Return a paid order, of which ``cents`` have been refunded when it is told."""
    order_id, customer_id = some_id(number), _BUYERS.get(number, CID)
    is_late, product_id = number != 1, _OTHER_PRODUCT if number == 3 else PRODUCT
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
    return Told(
        body=_in_short(order_webhook(f"order_paid_{kind}", **data)),
        subject=f"credits:order:{order_id}",
        customer_id=customer_id,
        trigger=kind,
        order_id=order_id,
        product_id=product_id,
        is_late=is_late,
        refunded_cents=cents,
        is_full=is_full,
    )


def _refund(number: int, cents: int, *, is_full: bool = False) -> Told:
    """Return the refund of ``cents`` of an order, all told."""
    order = _order(number, cents=cents, is_full=is_full)
    return replace(order, body=order.body.replace(b'"order.paid"', b'"order.refunded"'), trigger="")


def _begun(number: int, customer_id: str) -> Told:
    subscription = some_id(number)
    return Told(
        body=_in_short(
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


def _created(customer_id: str) -> Told:
    return Told(
        body=_in_short(webhook("customer_created", id=customer_id)),
        subject=f"credits:customer:{customer_id}",
        customer_id=customer_id,
        trigger="customer.created",
    )


def _revoke(number: int, meter: str | None = None) -> Told:
    """Return what a person asks for: all of an order's credits are to be taken back."""
    order = _order(number)
    asked = ManualRevoke(order_id=order.order_id, customer_id=order.customer_id, meter=meter)
    return replace(order, body=asked.delivery()[2], trigger="", revokes=meter or "*")


def _as_it_is_now(order: Told) -> Told:
    """Return an order as the orders API has it long after: its subscription has been cancelled since."""
    body = json.loads(order.body)
    if body["data"]["subscription"]:
        body["data"]["subscription"] |= {"status": "canceled", "ended_at": "2026-12-20T00:00:00Z"}
    return replace(order, body=json.dumps(body).encode())


def _final_invoice(number: int) -> Told:
    """Return the last invoice of a subscription that has ended: no rule can name it."""
    order = _order(number, "subscription_cycle")
    body = json.loads(order.body)
    body["data"]["subscription"]["ended_at"] = _EARLIER
    return replace(order, body=json.dumps(body).encode(), trigger="")


TOLD: Mapping[str, Told] = {
    "order 1": _order(1),
    "order 2": _order(2),
    "order 2 told late": _order(2, cents=450),
    "order 3": _order(3),
    "order 4": _order(4, "subscription_cycle"),
    "order 5": _final_invoice(5),
    "period": _begun(31, BEN),
    "new Ann": _created(ANN),
    "new Ben": _created(BEN),
    "nonsense": Told(
        body=b'{"type": "order.paid", "data": {}}', subject="", customer_id="", is_readable=False
    ),
}
"""What can be credited, or looks like it."""

NOW: Mapping[str, Told] = {
    "order 1": _as_it_is_now(_order(1, cents=300)),
    "order 2": _as_it_is_now(_order(2, cents=900, is_full=True)),
    "order 4": _as_it_is_now(_order(4, "subscription_cycle")),
}
"""Orders as a backfill would read them long after."""

REFUNDS = {
    "refund 1: 225": _refund(1, 225),
    "refund 1: 300": _refund(1, 300),
    "refund 1: all": _refund(1, 900, is_full=True),
    "refund 2: 700, which is all": _refund(2, 700, is_full=True),
    "refund 2: all": _refund(2, 900, is_full=True),
    "refund 2: more than all": _refund(2, 1000),
}
"""Few, so that they meet each other and their orders."""

REVOKES = {"revoke 1": _revoke(1), "revoke 1: images": _revoke(1, "images")}
"""Said before the order was credited they lead to nothing, then or later."""

ALL = {**TOLD, **REFUNDS, **REVOKES}

SALES: Mapping[str, Told] = {f"sale {number}": _order(100 + number) for number in range(1, 61)}
"""By Cid; each comes once."""

_EVERYTHING = (*TOLD.values(), *NOW.values(), *REFUNDS.values(), *SALES.values())

_PACK = Line(name="pack", gives={"api_usage": "10", "images": "0.7"}, revokes=True)
_GIFT = Line(name="gift", gives={"api_usage": "7"}, triggers=("purchase", "subscription_cycle"))
_FIRST = Line(name="first", gives={"api_usage": "50"}, triggers=("purchase", "subscription_cycle"), once=True)
_WELCOME = Line(name="welcome", gives={"api_usage": "25"}, triggers=("customer.created",))
_PERIOD = Line(name="period", gives={"seconds": "30"}, triggers=("subscription.cycled",))

FILES: Mapping[str, File] = {
    "usual": File((_PACK, _GIFT, _FIRST, _WELCOME, _PERIOD)),
    "no bonus": File((_PACK, _GIFT)),
    "other amounts": File(
        (
            Line(name="pack", gives={"api_usage": "20"}, revokes=True),
            Line(name="first", gives={"api_usage": "60", "seconds": "5"}, once=True),
            Line(name="welcome", gives={"api_usage": "40", "images": "1"}, triggers=("customer.created",)),
            Line(name="period", gives={"seconds": "31", "images": "2"}, triggers=("subscription.cycled",)),
        )
    ),
    "bonus renamed": File(
        (_PACK, Line(name="start", gives=_FIRST.gives, triggers=_FIRST.triggers, once=True))
    ),
    "policies flipped": File(
        (
            Line(name="pack", gives=_PACK.gives),
            Line(name="gift", gives=_GIFT.gives, triggers=_GIFT.triggers, revokes=True),
        )
    ),
    "other product": File(
        (
            Line(name="pack", gives=_PACK.gives, revokes=True, products=(_OTHER_PRODUCT,)),
            Line(name="gift", gives=_GIFT.gives, triggers=_GIFT.triggers, begins=LATER),
            Line(name="first", gives=_FIRST.gives, triggers=_FIRST.triggers, once=True, ends=LATER),
        )
    ),
    "from now on": File((_PACK, _GIFT, _FIRST), credit_from=LATER),
    "bonus alone": File((_FIRST,)),
    "broken": File((_FIRST, Line(name="pack", gives=_PACK.gives, broken=True))),
    "nothing": File(()),
}

METERS = {"api_usage": "units", "images": "units", "seconds": "amount"}
"""The property of each."""

BONUSES = {line.name for file in FILES.values() for line in file.lines if line.once}

KEYS = (
    {
        f"{subject}:{meter}"
        for file in FILES.values()
        for told in _EVERYTHING
        for subject, amounts in (file.wants(told) or {}).items()
        for meter in amounts
    }
    | {
        f"credits:refund:{told.order_id}:{told.refunded_cents}:{meter}"
        for told in _EVERYTHING
        if told.refunded_cents
        for meter in METERS
    }
    | {f"credits:revoke:{told.order_id}:{meter}" for told in REVOKES.values() for meter in METERS}
)
"""Every key that can ever be."""
