"""The ledger in memory does what the one in Redis does: unit tests stand on it."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.support.examples import examples
from tests.support.fake_clock import Clock
from tests.support.ledger_plans import FACTS, FILES, PLANS, REVOKED
from tests.support.ledger_steps import (
    Step,
    adjusts,
    claims,
    confirms,
    fails_and_rests,
    looks,
    replays,
    revokes,
    settles,
    settles_corrections,
    takes_back,
)
from tests.support.readable_ledgers import FakeLedger, RealLedger, timeless
from workers.core.grants import Grant
from workers.core.planning import plan_for
from workers.store.deliveries import DeliveryStore

_places = st.integers(0, len(PLANS) - 1)
_ids = st.integers(1, 4)
_orders = st.integers(1, 2)
_cents = st.sampled_from([1, 333, 1000])
_shares = st.lists(st.tuples(_ids, _orders, _cents), min_size=1, max_size=3)
_meters = st.sampled_from(["api_usage", "images", "seconds", "api usage: 1%"])
steps = st.one_of(
    st.lists(st.tuples(_ids, _places), min_size=1, max_size=3).map(claims),
    _places.map(looks),
    st.builds(
        takes_back, _shares, st.sets(st.sampled_from([None, "api_usage", "images"])), stale=st.booleans()
    ),
    st.builds(
        settles,
        _places,
        st.sets(_meters),
        is_doubtful=st.booleans(),
    ),
    st.builds(confirms, _places, st.sets(_meters)),
    st.builds(revokes, _ids, _orders, st.sampled_from([None, "images"])),
    st.builds(fails_and_rests, _ids, _orders),
    st.builds(replays, _ids, _orders, by_name=st.booleans()),
    st.builds(adjusts, _orders, st.integers(1, 20), stale=st.booleans()),
    _orders.map(settles_corrections),
)

# An order of which Polar has everything, and a revoke that was dismissed.
REVOKED_ONCE = [
    claims([(1, PLANS.index(plan_for(FACTS[0], FILES[0])))]),
    settles(PLANS.index(plan_for(FACTS[0], FILES[0])), {"api_usage", "images"}, is_doubtful=False),
    revokes(1, 1, None),
    fails_and_rests(1, 1),
]
by_hand = st.one_of(
    st.builds(revokes, st.just(1), st.just(1), st.sampled_from([None, "images"])),
    st.builds(fails_and_rests, st.just(1), st.just(1)),
    st.builds(replays, st.just(1), st.just(1), by_name=st.booleans()),
    st.builds(takes_back, _shares, st.just(set()), stale=st.booleans()),
    st.builds(adjusts, st.just(1), st.integers(1, 20), stale=st.booleans()),
    st.builds(settles, st.just(PLANS.index(REVOKED[0].plan())), st.sets(_meters), is_doubtful=st.booleans()),
)


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(by_hand, max_size=12))
def test_both_ledgers_decide_the_same_revokes_anew(redis: Redis, story: list[Step]) -> None:
    redis.flushall()
    real, fake = RealLedger(redis), FakeLedger(Clock())
    for step in [*REVOKED_ONCE, *story]:
        assert timeless(step(real)) == timeless(step(fake))
    assert {one.id for one in DeliveryStore(redis).newest()} == fake.deliveries.keys()


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=12))
def test_whatever_is_asked_of_them_both_ledgers_give_the_same_answers(
    redis: Redis, story: list[Step]
) -> None:
    redis.flushall()
    real, fake = RealLedger(redis), FakeLedger(Clock())
    for step in story:
        assert timeless(step(real)) == timeless(step(fake))
    for plan in PLANS:
        assert timeless([real.find_for_plan(plan)]) == timeless([fake.find_for_plan(plan)])
    assert real.count_grants() == len(fake.audit)
    assert {one.id for one in DeliveryStore(redis).newest()} == fake.deliveries.keys()


def test_the_plans_lead_to_all_kinds_of_claims() -> None:
    """Sequences of nothing would prove nothing."""
    grants: list[Grant] = [grant for plan in PLANS for grant in plan.grants]
    assert {grant.subject.split(":")[1] for grant in grants} == {"order", "customer", "manual", "offer"}
    assert any(part.revocable for grant in grants for part in grant.parts)
    assert any(not plan.grants for plan in PLANS)
    assert any(plan.refund for plan in PLANS)
    assert any(plan.revoke for plan in PLANS)
