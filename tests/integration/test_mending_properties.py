"""Whatever came, was lost, was killed or was mended twice: in the end each order is credited, and once."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.support.builders import some_id
from tests.support.fakes import KilledError
from tests.support.polar_orders import Mending, mending_at, sell
from tests.support.real_stores import let_leases_end
from workers.pipeline.granter import MOST_DELIVERIES

ORDERS = 4


def deliver(mending: Mending, number: int) -> None:
    mending.deliver(sell(mending.polar, number), f"msg-{number}")


def wait_in_the_inbox(mending: Mending, number: int) -> None:
    mending.store.store_and_lease([(f"msg-{number}", "order.paid", sell(mending.polar, number))])


def fail_to_deliver(mending: Mending, number: int) -> None:
    mending.polar.add_delivery(some_id(100 + number), sell(mending.polar, number))


def backfill(mending: Mending, _number: int) -> None:
    mending.backfill()


def be_killed_in_a_backfill(mending: Mending, _number: int) -> None:
    try:
        mending.backfill_but_die_before_settling()
    except KilledError:
        return


def recover(mending: Mending, _number: int) -> None:
    mending.recover()


def lose_redis(mending: Mending, _number: int) -> None:
    mending.redis.flushall()


def work(mending: Mending, _number: int) -> None:
    let_leases_end(mending.redis)
    mending.granter.run(mending.store.lease(MOST_DELIVERIES))


STEPS = [
    deliver,
    wait_in_the_inbox,
    fail_to_deliver,
    backfill,
    be_killed_in_a_backfill,
    recover,
    lose_redis,
    work,
]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, ORDERS)), max_size=12))
def test_in_the_end_every_order_is_credited_once(redis: Redis, steps: list[tuple[object, int]]) -> None:
    redis.flushall()
    with mending_at(redis) as mending:
        for number in range(1, ORDERS + 1):
            sell(mending.polar, number)
        for step, number in steps:
            assert callable(step)
            step(mending, number)
        work(mending, 0)  # what waits has its turn
        mending.backfill()
        assert mending.balance() == 10 * ORDERS
        assert sorted(event["external_id"] for event in mending.polar.events) == [
            f"credits:order:{some_id(number)}:api_usage" for number in range(1, ORDERS + 1)
        ]
        assert mending.look().is_empty
        assert mending.store.oldest_waiting() is None
