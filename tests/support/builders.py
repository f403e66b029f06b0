"""Builds webhooks, orders, facts, rules and grants for tests, with defaults for what a test leaves out."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from config.rules import Rules, parse_rules
from tests.support.recordings import payload
from workers.core.envelope import peek_type
from workers.core.facts import Fact, fact_of
from workers.core.grants import Grant, Part, order_subject
from workers.core.offers import OfferRequest
from workers.core.payloads import Order, read_order

CUSTOMER = "99130a7b-29f6-4003-9a81-21b0361c7186"  # the customer of order_paid_purchase
PRODUCT = "289208de-404a-4370-a0b6-c0433bb956cc"  # and its product
ORDER = "2a9bd3c2-84d9-4be8-9a3d-b03af1044217"
PAID_CENTS = 1000  # of that order
METERS = {"api_usage": "units", "images": "units", "seconds": "amount"}  # the property of each

Amount = int | str | Decimal


def some_id(number: int) -> str:
    """Return an id in the form of Polar's; a greater number gives an id that sorts later."""
    return str(UUID(int=number << 80 | 4 << 76 | 8 << 60))


def webhook(like: str, **data: Any) -> bytes:
    """Return the body of a recorded webhook with some of its data replaced."""
    body = json.loads(payload(like))
    body["data"] |= data
    return json.dumps(body).encode()


def order_webhook(like: str = "order_paid_purchase", **data: Any) -> bytes:
    """Return the webhook of a paid order, by default of the recorded purchase."""
    return webhook(like, **data)


def refund_webhook(cents: int, **data: Any) -> bytes:
    """Return the webhook after refunds of ``cents`` in total on ORDER; a full refund from PAID_CENTS on."""
    status = "refunded" if cents >= PAID_CENTS else "partially_refunded"
    usual = {"id": ORDER, "customer_id": CUSTOMER, "refunded_amount": cents, "status": status}
    return webhook("order_refunded_full", **(usual | data))


def dispute_webhook(number: int, cents: int, *, currency: str = "usd", **order: Any) -> bytes:
    """Return the delivery that says that a dispute of ORDER, about ``cents`` without tax, was lost."""
    shown = json.loads(payload("order_paid_purchase"))["data"] | order
    dispute = {"id": some_id(number), "order_id": shown["id"], "amount": cents, "tax_amount": 190}
    dispute |= {"currency": currency, "status": "lost"}
    return json.dumps({"type": "credits.dispute", "data": {"dispute": dispute, "order": shown}}).encode()


def order_like(like: str = "order_paid_purchase", **data: Any) -> Order:
    """Return the order of a recorded webhook with some of its fields replaced."""
    return read_order(order_webhook(like, **data)).view


def fact_like(like: str = "order_paid_purchase", **data: Any) -> Fact:
    """Return the fact of a recorded webhook with some of its data replaced."""
    body = webhook(like, **data)
    fact = fact_of(peek_type(body) or "", body)
    assert fact is not None
    return fact


def rule(name: str, grant: Mapping[str, Amount], **others: Any) -> str:
    """Return a rule as a line of a rules file; ``others`` are its products, triggers and other keys."""
    # Every JSON value is YAML. Only amounts are written by hand, because JSON has no exact decimals.
    amounts = ", ".join(f"{json.dumps(meter)}: {_written(units)}" for meter, units in grant.items())
    rest = "".join(f", {key}: {json.dumps(value)}" for key, value in others.items())
    return f"- {{name: {json.dumps(name)}, grant: {{{amounts}}}{rest}}}"


def _written(units: Amount) -> str:
    """Return an amount as YAML; a text that is not a number is an expression."""
    try:
        return f"{Decimal(units):f}"
    except InvalidOperation:
        return json.dumps(units)


def rules_of(*lines: str, credit_from: str | None = None) -> Rules:
    """Return the parsed rules of a file that declares METERS and has these lines as rules."""
    meters = json.dumps({name: {"property": value} for name, value in METERS.items()})
    begin = f"credit_from: {credit_from}\n" if credit_from else ""
    listed = "".join(f"{line}\n" for line in lines) or "  []\n"
    return parse_rules(f"version: 1\n{begin}meters: {meters}\nrules:\n{listed}", "rules.yaml")


def offer(name: str, grant: Mapping[str, Amount], **others: Any) -> str:
    """Return an offer as a line of a rules file; ``others`` are its other keys."""
    return rule(name, grant, **others)


def offers_of(*lines: str, rules: Sequence[str] = ()) -> Rules:
    """Return the parsed rules of a file with these lines as offers."""
    meters = json.dumps({name: {"property": value} for name, value in METERS.items()})
    listed = ["".join(f"{line}\n" for line in each) or "  []\n" for each in (rules, lines)]
    text = f"version: 1\nmeters: {meters}\nrules:\n{listed[0]}offers:\n{listed[1]}"
    return parse_rules(text, "rules.yaml")


def offer_request(
    offer: str = "referral", key: str = "invitation-1", customer_id: str | None = CUSTOMER, **others: Any
) -> OfferRequest:
    """Return the storefront's request for an offer."""
    usual = {"requested_at": "2026-11-29T07:00:00Z", "customer_id": customer_id}
    return OfferRequest.model_validate({"offer": offer, "key": key, **usual, **others})


def grant_of(
    number: int = 1, *amounts: Amount, meter: str = "api_usage", customer_id: str = CUSTOMER
) -> Grant:
    """Return the grant for order ``number`` with a part for each amount (by default one of 10 credits)."""
    return Grant(
        subject=order_subject(some_id(number)),
        customer_id=customer_id,
        meter=meter,
        property_name=METERS.get(meter, "units"),
        parts=tuple(
            Part(rule=f"rule-{i}", units=Decimal(units)) for i, units in enumerate(amounts or (10,), 1)
        ),
        order_id=some_id(number),
    )
