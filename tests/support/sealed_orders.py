"""Settled orders that wait to be sealed."""

from tests.support.builders import CUSTOMER, fact_like, grant_of, rule, rules_of, some_id
from tests.support.real_stores import plan_of
from workers.core.grants import Grant
from workers.core.planning import plan_for
from workers.store.ledger import Ledger

LAST = 999
"""The number of an order that is settled last: the newest entry of the audit trail is never moved."""

MIXED = rules_of(
    rule("pack-of-2026", {"api_usage": "0.7", "images": 9}, on_refund="revoke"),
    rule("gift", {"api_usage": 1_000_000}),
    rule("bonus", {"seconds": 50}, once_per="customer"),
)


def sell(ledger: Ledger, *numbers: int, customer_id: str = CUSTOMER) -> list[Grant]:
    """Claim and settle orders with these numbers, one credit each."""
    grants = [grant_of(number, 1, customer_id=customer_id) for number in numbers]
    ledger.claim(
        [(some_id(10_000 + number), plan_of(one)) for number, one in zip(numbers, grants, strict=True)]
    )
    ledger.settle(grants, [])
    return grants


def sell_mixed(ledger: Ledger) -> str:
    """Settle an order with several meters, rules and a bonus, and one after it; return its subject."""
    plan = plan_for(fact_like(), MIXED)
    ledger.claim([("msg-1", plan)])
    ledger.settle(plan.grants, [])
    sell(ledger, LAST, customer_id=some_id(LAST))
    return plan.subject
