"""A customer's totals are the sum of every grant, although Redis counts grants that are alike together."""

from decimal import Decimal

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import CUSTOMER, fact_like, grant_of, refund_webhook, rule, rules_of, some_id
from tests.support.real_stores import plan_of
from tests.support.reversals import refund_take_back
from tests.support.sealing import seal, sealed_subjects
from workers.core.delivery_plans import refund_plan
from workers.core.grants import order_subject
from workers.core.planning import plan_for
from workers.core.sums import MeterSum, SummedMeter, sum_up
from workers.store.audit import Audit
from workers.store.ledger import Ledger

MIXED = rules_of(
    rule("pack", {"api_usage": "0.7", "images": 9}, on_refund="revoke"),
    rule("bonus", {"seconds": 50}, once_per="customer"),
)
API_USAGE, IMAGES = SummedMeter("api_usage", "units"), SummedMeter("images", "units")
SECONDS = SummedMeter("seconds", "amount")


@pytest.fixture
def audit(redis: Redis, ledger: Ledger) -> Audit:
    return Audit(redis, ledger)


def sell(ledger: Ledger, *numbers: int, customer_id: str = CUSTOMER) -> None:
    """Claim and settle orders with these numbers, by some rules."""
    for number in numbers:
        plan = plan_for(fact_like(id=some_id(number), customer_id=customer_id), MIXED)
        ledger.claim([(some_id(10_000 + number), plan)])
        ledger.settle(plan.grants, [])


def refund(ledger: Ledger, number: int, cents: int) -> None:
    """Take a share of an order back, also at Polar."""
    (standing,) = ledger.claim([("refund", refund_plan(refund_webhook(cents, id=some_id(number))))])
    taken = refund_take_back(standing, "refund")
    assert taken
    ledger.take_back([taken])
    ledger.settle(taken.grants, [])


def test_grants_bonuses_take_backs_and_what_is_claimed_add_up(ledger: Ledger, audit: Audit) -> None:
    sell(ledger, 1, 2, 3)
    sell(ledger, 4, customer_id=some_id(99))
    refund(ledger, 2, 500)
    ledger.claim([("msg-5", plan_of(grant_of(5, 7)))])  # and not settled
    assert audit.sums_of_customer(CUSTOMER) == {
        API_USAGE: MeterSum(granted=Decimal("2.1"), taken_back=Decimal("0.35"), not_at_polar_yet=Decimal(7)),
        IMAGES: MeterSum(granted=Decimal(27), taken_back=Decimal(4)),
        SECONDS: MeterSum(granted=Decimal(50)),
    }
    assert audit.sums_of_customer(some_id(98)) == {}


def test_sealed_facts_add_up_as_they_did(redis: Redis, ledger: Ledger, audit: Audit) -> None:
    odd = [grant_of(20, "123456789.5"), grant_of(21, 200, 7), grant_of(22, 70_000), grant_of(23, 1)]
    odd.append(replace(grant_of(24, 5), property_name="tokens"))
    ledger.claim([(some_id(11_000 + at), plan_of(one)) for at, one in enumerate(odd)])
    ledger.settle(odd, [])
    sell(ledger, *range(1, 8))
    refund(ledger, 2, 333)
    refund(ledger, 2, 1000)
    sell(ledger, 999, customer_id=some_id(99))  # the newest entry of the audit trail is never moved
    before = audit.sums_of_customer(CUSTOMER)
    assert before == sum_up(audit.of_customer(CUSTOMER))
    assert before[SummedMeter("api_usage", "tokens")].granted == 5
    seal(redis)
    assert {order_subject(some_id(number)) for number in range(1, 8)} <= set(sealed_subjects(redis))
    assert audit.sums_of_customer(CUSTOMER) == before
    refund(ledger, 3, 1000)  # opens one of them
    assert not redis.exists(order_subject(some_id(4)))
    assert audit.sums_of_customer(CUSTOMER) == sum_up(audit.of_customer(CUSTOMER)) != before


def test_a_customer_with_several_pages_of_orders_is_summed_and_the_reader_told_how_far_it_is(
    redis: Redis, ledger: Ledger, audit: Audit
) -> None:
    sold = [grant_of(number, 1 + number % 3) for number in range(450)]
    ledger.claim([(some_id(10_000 + number), plan_of(one)) for number, one in enumerate(sold)])
    ledger.settle(sold, [])
    for is_sealed in (False, True):
        told = list[int]()
        if is_sealed:
            assert seal(redis)
        assert audit.sums_of_customer(CUSTOMER, told.append) == {API_USAGE: MeterSum(granted=Decimal(900))}
        assert told == [200, 400, 450]


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_loop_in_an_edited_ledger_is_summed_once(
    redis: Redis, ledger: Ledger, audit: Audit, gone: int
) -> None:
    sell(ledger, 1, 2, 3)
    redis.delete(order_subject(some_id(gone)))
    sell(ledger, gone)
    assert audit.sums_of_customer(CUSTOMER) == sum_up(audit.of_customer(CUSTOMER))


@pytest.mark.parametrize("size", [201, 400, 450])
def test_a_long_loop_in_an_edited_ledger_ends(redis: Redis, ledger: Ledger, audit: Audit, size: int) -> None:
    sold = [grant_of(number, 1) for number in range(500)]
    ledger.claim([(some_id(10_000 + number), plan_of(one)) for number, one in enumerate(sold)])
    ledger.settle(sold, [])
    redis.hset(sold[500 - size].subject, "before", sold[-1].subject.removeprefix("credits:"))
    found = audit.sums_of_customer(CUSTOMER)
    assert found[API_USAGE].granted >= size
