"""An order's claim freezes its paid period, and each later instalment is claimed once, in order."""

from datetime import timedelta
from fractions import Fraction

from msgspec.structs import replace
from redis import Redis

from config.intervals import Every
from tests.support.builders import CUSTOMER, grant_of, some_id
from tests.support.instalments import ORDER, YEAR, given, own_grant, part, request, subject
from tests.support.reversals import refund_take_back
from workers.core.claims import Refund, Standing
from workers.core.delivery_plans import plan_instalment
from workers.core.grants import order_subject
from workers.core.later_claims import Instalment
from workers.core.plans import Plan
from workers.core.schedule import PaidPeriod
from workers.store.ledger import Ledger

PAID = own_grant(part("bonus", 5, every=None), part("yearly", 1000, "refund"))
PLAN = Plan(subject=PAID.subject, customer_id=CUSTOMER, order_id=ORDER, grants=(PAID,), period=YEAR)


def claimed(ledger: Ledger, plan: Plan = PLAN) -> Standing:
    """Claim and settle an order."""
    ledger.claim([("msg-1", plan)])
    ledger.settle(plan.grants, [])
    return ledger.find(plan.subject)


def later(ledger: Ledger, one: Instalment) -> Standing:
    """Claim and settle an instalment."""
    ledger.take_back([one])
    ledger.settle(one.grants, [])
    return ledger.find(one.subject)


def test_a_claim_freezes_the_period_and_which_parts_are_repeated(ledger: Ledger) -> None:
    (new,) = ledger.claim([("msg-1", PLAN)])
    assert new == ledger.find(PLAN.subject)
    assert (new.period, new.begun, new.superseded) == (YEAR, {}, {})
    assert [one.every for one in new.claims[0].grants[0].parts] == [None, Every.MONTH]
    assert new.every("api_usage") is Every.MONTH


def test_no_value_takes_more_memory_than_a_short_one(redis: Redis, ledger: Ledger) -> None:
    standing = claimed(ledger)
    later(ledger, given(standing, 2))
    for key in (PLAN.subject, subject(2), f"credits:chain:{YEAR.subscription_id}"):
        assert redis.object("encoding", key) == b"listpack"


def test_an_instalment_is_read_with_its_order_whether_it_is_settled_or_not(ledger: Ledger) -> None:
    standing = claimed(ledger)
    one = given(standing, 2)
    ledger.take_back([one])
    found = ledger.find(PLAN.subject)
    claim = found.instalment(2, "api_usage")
    assert claim is not None
    assert (claim.grants, claim.order_id, claim.settled) == ((one.grant,), ORDER, {})
    assert (found.begun, found.open_instalment) == ({"api_usage": 2}, claim)
    assert not found.can_be_taken_back
    ledger.settle(one.grants, [])
    assert ledger.find(PLAN.subject).can_be_taken_back
    assert [one.subject for one in later(ledger, given(found, 3)).instalments] == [subject(2), subject(3)]


def test_instalments_are_claimed_one_after_the_other(ledger: Ledger) -> None:
    standing = claimed(ledger)
    ledger.take_back([given(standing, 3)])
    assert ledger.find(PLAN.subject).begun == {}
    second = later(ledger, given(standing, 2))
    ledger.take_back([given(standing, 2)])
    assert ledger.find(PLAN.subject) == second
    assert later(ledger, given(second, 3)).begun == {"api_usage": 3}


def test_an_instalment_that_was_computed_before_a_refund_is_not_claimed(ledger: Ledger) -> None:
    standing = claimed(ledger)
    refund = Refund(amount=100, share=Fraction(1, 4))
    ledger.claim([("msg-2", replace(PLAN, grants=(), refund=refund))])
    ledger.take_back([given(standing, 2)])
    refunded = ledger.find(PLAN.subject)
    assert refunded.begun == {}
    assert later(ledger, given(refunded, 2)).claims[-1].grants[0].units == 750


def test_an_instalment_of_a_chain_that_has_ended_is_not_claimed(redis: Redis, ledger: Ledger) -> None:
    standing = claimed(ledger)
    redis.hset(PLAN.subject, "ended:api_usage", "the subscription ended")
    ledger.take_back([given(standing, 2)])
    found = ledger.find(PLAN.subject)
    assert (found.begun, found.ended) == ({}, {"api_usage": "the subscription ended"})


def test_a_take_back_that_was_computed_before_an_instalment_is_not_claimed(ledger: Ledger) -> None:
    standing = replace(claimed(ledger), refund=Refund(amount=400, share=Fraction(1)))
    early = refund_take_back(standing, "msg-2")
    assert early is not None
    later(ledger, given(replace(standing, refund=None), 2))
    ledger.take_back([early])
    assert not ledger.find(PLAN.subject).taken


def test_a_later_order_of_the_subscription_replaces_an_earlier_one_on_its_meters(ledger: Ledger) -> None:
    claimed(ledger)
    second = _order(2, YEAR, "api_usage")
    assert claimed(ledger, second).superseded == {}
    found = ledger.find(PLAN.subject)
    assert found.superseded == {"api_usage": some_id(2)}
    assert found.superseded_at == {"api_usage": YEAR.ordered_at + timedelta(hours=1)}
    older = _order(3, replace(YEAR, ordered_at=YEAR.ordered_at - timedelta(days=1)), "api_usage", "images")
    assert claimed(ledger, older).superseded == {"api_usage": some_id(2)}


def test_orders_of_other_subscriptions_replace_nothing(ledger: Ledger) -> None:
    claimed(ledger)
    claimed(ledger, _order(2, replace(YEAR, subscription_id=some_id(77)), "api_usage"))
    assert ledger.find(PLAN.subject).superseded == {}


def _order(number: int, period: PaidPeriod, *meters: str) -> Plan:
    """Return the plan of another order, one hour later than PLAN."""
    grants = tuple(replace(grant_of(number, meter=one), parts=(part("yearly", 1000),)) for one in meters)
    later_on = replace(period, ordered_at=period.ordered_at + timedelta(hours=1))
    return Plan(
        subject=order_subject(some_id(number)),
        customer_id=CUSTOMER,
        order_id=some_id(number),
        grants=grants,
        period=later_on,
    )


def test_the_delivery_of_an_instalment_reads_no_other_ones(ledger: Ledger) -> None:
    standing = claimed(ledger)
    for number in range(2, 6):
        standing = later(ledger, given(standing, number))
    assert [len(one.instalments) for one in (standing, *ledger.find_own([PLAN.subject]))] == [4, 0]
    for number, read in ((5, standing.claims[-1:]), (6, ())):
        plan = plan_instalment(request(number), None, YEAR.end).plan
        assert plan is not None
        (found,) = ledger.claim([(f"instalment-{number}", plan)])
        assert found == replace(standing, claims=(*standing.claims[:1], *read))
