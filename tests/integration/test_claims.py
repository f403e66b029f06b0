"""The first claim of an order freezes its plan, whoever comes at the same time."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from threading import Barrier
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import CUSTOMER, grant_of, some_id
from tests.support.real_stores import RETAIN, accept, claim_of, let_leases_end, plan_of
from workers.core.claims import Refund, Standing
from workers.core.grants import Part, order_subject
from workers.core.later_claims import TakeBack
from workers.core.plans import Plan
from workers.store.deliveries import DeliveryStore
from workers.store.later_claim_rows import take_back_row
from workers.store.ledger import Ledger


def test_a_claim_is_read_back_as_it_was_made(ledger: Ledger) -> None:
    grants = (
        grant_of(1, "0.000001", 999999),
        grant_of(1, 5, meter="images"),
        grant_of(1, 7, meter="seconds"),
    )
    (standing,) = ledger.claim([("msg-1", plan_of(*grants))])
    claim = claim_of(standing)
    assert sorted(claim.grants, key=lambda one: one.key) == sorted(grants, key=lambda one: one.key)
    assert (claim.subject, claim.delivery_id, claim.settled) == (order_subject(some_id(1)), "msg-1", {})
    assert claim.unsettled == claim.grants
    assert (claim.order_id, standing.refund, standing.taken) == (some_id(1), None, {})
    assert standing.claims == (claim,)
    assert ledger.find(claim.subject) == standing


def test_a_second_claim_changes_nothing(ledger: Ledger) -> None:
    (first,) = ledger.claim([("msg-1", plan_of(grant_of(1, 10)))])
    (second,) = ledger.claim([("msg-2", plan_of(grant_of(1, 999), grant_of(1, 5, meter="images")))])
    assert second == first


def test_of_two_plans_for_one_order_in_one_call_the_first_is_frozen(ledger: Ledger) -> None:
    first, second = ledger.claim([("msg-1", plan_of(grant_of(1, 10))), ("msg-2", plan_of(grant_of(1, 20)))])
    assert first == second
    assert claim_of(first).grants[0].units == Decimal(10)


def test_a_plan_without_grants_only_reads(redis: Redis, ledger: Ledger) -> None:
    subject = order_subject(some_id(1))
    nothing = Plan(subject=subject, customer_id=CUSTOMER, order_id=some_id(1), skip="no rule matches")
    assert ledger.claim([("msg-1", nothing)]) == [Standing(subject=subject)]
    assert redis.keys() == []
    (standing,) = ledger.claim([("msg-2", plan_of(grant_of(1, 10)))])
    assert ledger.claim([("msg-3", nothing)]) == [standing]


def test_of_twenty_simultaneous_claims_one_is_frozen_and_all_see_it(ledger: Ledger) -> None:
    at_once = Barrier(20)

    def claim(number: int) -> Standing:
        at_once.wait()
        return ledger.claim([(f"msg-{number}", plan_of(grant_of(1, number + 1)))])[0]

    with ThreadPoolExecutor(20) as pool:
        standings = list(pool.map(claim, range(20)))
    assert standings == [standings[0]] * 20
    winner = claim_of(standings[0])
    assert winner.delivery_id == f"msg-{winner.grants[0].units - 1}"


def test_a_claim_of_a_thousand_meters_is_frozen_completely(ledger: Ledger) -> None:
    """Lua can pass only a limited number of arguments to a command."""
    grants = tuple(grant_of(1, 1, meter=f"meter-{number:04}") for number in range(1000))
    (standing,) = ledger.claim([("msg-1", plan_of(*grants))])
    assert len(claim_of(standing).grants) == 1000


def test_a_claim_is_plain_text_that_people_can_read_in_redis(redis: Redis, ledger: Ledger) -> None:
    grant = grant_of(1, "0.5")
    revocable = Part(rule="rule-2", units=Decimal("7E+3"), revocable=True)
    seconds = grant_of(1, 3, meter="seconds")  # whose property is `amount`
    ledger.claim([("msg-1", plan_of(replace(grant, parts=(*grant.parts, revocable)), seconds))])
    entry = cast(dict[bytes, bytes], redis.hgetall(order_subject(some_id(1))))
    assert entry.pop(b"claimed_at").isdigit()
    assert entry == {
        b"delivery": b"msg-1",
        b"customer": CUSTOMER.encode(),
        b"grant:api_usage": b"rule-1=0.5 rule-2=7000:revoke",
        b"grant:seconds": b"rule-1=3",
        b"property:seconds": b"amount",
    }


def test_links_are_stored_in_short_form(redis: Redis, ledger: Ledger) -> None:
    bonuses = [f"credits:customer:{CUSTOMER}:{'long-' * 12}{number}" for number in (1, 2)]
    grants = [replace(grant_of(1), subject=subject) for subject in bonuses]
    (standing,) = ledger.claim([("msg-1", plan_of(grant_of(1), *grants))])
    assert [claim.subject for claim in standing.claims] == [order_subject(some_id(1)), *bonuses]
    also = cast(bytes, redis.hget(order_subject(some_id(1)), "also"))
    assert also.decode().split() == [f"customer:{'long-' * 12}{number}" for number in (1, 2)]


def test_a_worker_whose_lease_ran_out_freezes_nothing(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "msg-1")
    (sleeper,) = store.lease(10).deliveries
    let_leases_end(redis)
    (holder,) = store.lease(10).deliveries
    plan = plan_of(grant_of(1, 10))
    assert ledger.claim([("msg-1", plan)], {"msg-1": sleeper.attempt})[0].claims == ()
    assert redis.exists(order_subject(some_id(1))) == 0
    assert claim_of(ledger.claim([("msg-1", plan)], {"msg-1": holder.attempt})[0]).delivery_id == "msg-1"
    (frozen,) = ledger.claim([("msg-1", plan)], {"msg-1": sleeper.attempt})
    assert claim_of(frozen).grants == plan.grants


AMOUNTS = st.decimals("0.000001", 10**6, places=6) | st.sampled_from([Decimal("1E+3"), Decimal("10.0")])
PARTS = st.builds(Part, rule=st.sampled_from(["a", "b-1", "c.c"]), units=AMOUNTS, revocable=st.booleans())
METERS = st.sampled_from(["api_usage", "b meter", "images", "a:b"])
GRANTS = st.dictionaries(METERS, st.lists(PARTS, min_size=1, max_size=3, unique_by=lambda one: one.rule))


@given(by_meter=GRANTS, is_refund_noted=st.booleans())
def test_a_claim_returns_what_the_ledger_has(
    redis_url: str, by_meter: dict[str, list[Part]], is_refund_noted: bool
) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        ledger = Ledger(redis, retain=RETAIN)
        grants = [replace(grant_of(1, meter=meter), parts=tuple(parts)) for meter, parts in by_meter.items()]
        plan = replace(plan_of(grant_of(1)), grants=tuple(grants))
        if is_refund_noted:
            refund = Refund(amount=300, share=Fraction(3, 10))
            ledger.claim([("msg-0", replace(plan, grants=(), refund=refund))])
        (standing,) = ledger.claim([("msg-1", plan)])
        assert standing == ledger.find_for_plan(plan)
        assert stands_as_written(redis, standing)
        assert stands_as_written(redis, ledger.find_for_plan(plan))


def stands_as_written(redis: Redis, standing: Standing) -> bool:
    """Return whether a take-back of it would be frozen: else a worker would compute it anew for ever."""
    grants = standing.own.grants if standing.own else ()
    if not grants:
        return True
    taking = TakeBack(
        delivery_id="msg-2",
        subject=standing.subject,
        grants=grants,
        before={},
        after={},
        computed_from=grants,
    )
    changes = cast(list[dict[str, str]], take_back_row(taking)["changes"])
    written = cast(dict[bytes, bytes], redis.hgetall(standing.subject))
    # An empty text stands for a missing field.
    return all(written.get(one["field"].encode(), b"") == one["before"].encode() for one in changes)
