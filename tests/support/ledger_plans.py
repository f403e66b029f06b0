"""Plans of all kinds, for two orders and two customers: what a ledger may be asked to freeze."""

from decimal import Decimal

from tests.support.builders import (
    dispute_webhook,
    fact_like,
    offer,
    offer_request,
    offers_of,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from workers.core.delivery_plans import refund_plan
from workers.core.dispute_delivery import dispute_plan
from workers.core.manual import ManualGrant, ManualRevoke
from workers.core.offers import offer_plan
from workers.core.planning import plan_for

PACK = rule("pack", {"api_usage": "0.7", "images": 9}, on_refund="revoke")
KEPT = rule("kept", {"api_usage": 100}, on_dispute="revoke")
BONUS = rule("bonus", {"api_usage": 50, "seconds": 1}, once_per="customer")
SECOND = rule("second", {"images": 7}, once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25}, triggers=["customer.created"])
TRIAL = rule("trial", {"images": 4}, triggers=["trial_start", "purchase"])
FILES = [
    rules_of(PACK, KEPT),
    rules_of(PACK, BONUS, WELCOME),
    rules_of(BONUS, SECOND),
    rules_of(KEPT, SECOND, WELCOME.replace("welcome", "hello")),
    rules_of(TRIAL, BONUS),
    rules_of(),
]
OFFERS = offers_of(
    offer("capped", {"api_usage": 5}, most_per_customer=1), offer("once", {"images": 2}, once_per="customer")
)
BY_HAND = [
    ManualGrant(
        key="beta",
        customer="user%3A1",
        customer_id=some_id(number),
        meter="api usage: 1%",
        property_name="amount",
        units=Decimal(5),
        reason="why not",
    )
    for number in (1, 2)
]
REVOKED = [
    ManualRevoke(order_id=some_id(number), customer_id=some_id(9), meter=meter)
    for number in (1, 2)
    for meter in (None, "images")
]

FACTS = [
    fact_like(id=some_id(1)),
    fact_like(id=some_id(1), refunded_amount=100),
    fact_like(id=some_id(2)),
    fact_like("customer_created"),
    fact_like("order_paid_trial_start_zero", id=some_id(1)),
    fact_like("order_paid_subscription_cancel_final_invoice", id=some_id(2)),
]
PLANS = [
    *(plan_for(fact, rules) for fact in FACTS for rules in FILES),
    *(
        refund_plan(refund_webhook(cents, id=some_id(number)))
        for cents in (0, 1, 333, 1000)
        for number in (1, 2)
    ),
    *(
        dispute_plan(dispute_webhook(dispute, cents, id=some_id(number)))
        for dispute, cents, number in ((5, 400, 1), (6, 1000, 1), (7, 300, 2))
    ),
    *(one.plan() for one in BY_HAND),
    *(one.plan() for one in REVOKED),
    *(
        offer_plan(offer_request(offer, key, some_id(customer)), some_id(customer), OFFERS)
        for offer in ("capped", "once")
        for key in ("k1", "k2")
        for customer in (1, 2)
    ),
]
