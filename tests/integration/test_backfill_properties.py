"""Whatever came, was lost, was killed or was mended twice: in the end each order is credited, and once."""

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.support.builders import CUSTOMER, some_id
from tests.support.examples import examples
from tests.support.fake_service import NOBODY, TEN
from tests.support.killed import KilledError
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.real_stores import let_leases_end
from workers.store import keys
from workers.timings import DEFAULT_TIMINGS

ORDERS = 4
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def deliver(operations: Operations, number: int) -> None:
    operations.deliver(sell(operations.polar, number), f"msg-{number}")


def wait_in_the_inbox(operations: Operations, number: int) -> None:
    operations.store.store_and_lease([(f"msg-{number}", "order.paid", sell(operations.polar, number))])


def fail_to_deliver(operations: Operations, number: int) -> None:
    operations.polar.add_delivery(some_id(100 + number), sell(operations.polar, number))


def backfill(operations: Operations, _number: int) -> None:
    operations.backfill()


def be_killed_in_a_backfill(operations: Operations, _number: int) -> None:
    try:
        operations.backfill_but_die_before_settling()
    except KilledError:
        return


def recover(operations: Operations, _number: int) -> None:
    operations.recover()


def lose_redis(operations: Operations, _number: int) -> None:
    operations.redis.flushall()


def skip(operations: Operations, number: int) -> None:
    """Deliver an order while no rule credits it."""
    operations.rules = NOBODY
    deliver(operations, number)
    operations.rules = TEN


def expire(operations: Operations, number: int) -> None:
    """Let the settled deliveries of an order expire."""
    ids = [one.id for one in operations.store.about_order(some_id(number))]
    about = [keys.about(some_id(number)), keys.about(CUSTOMER)]
    operations.redis.delete(*about, *map(keys.delivery, ids), *map(keys.body, ids))


def reconcile(operations: Operations, _number: int) -> None:
    """Backfill without a person: no order is credited that had been skipped."""
    untold = {number for number in range(1, ORDERS + 1) if not is_told(operations, number)}
    before = credited(operations)
    operations.backfill(by_itself_from=LONG_AGO)
    assert credited(operations) - before <= {some_id(number) for number in untold}


def is_told(operations: Operations, number: int) -> bool:
    return operations.ledger.told([some_id(number)]) != set()


def credited(operations: Operations) -> set[str]:
    return {event["metadata"]["order_id"] for event in operations.polar.events}


def work(operations: Operations, _number: int) -> None:
    let_leases_end(operations.redis)
    operations.granter.run(operations.store.lease(DEFAULT_TIMINGS.deliveries_per_lease))


STEPS = [
    deliver,
    skip,
    expire,
    reconcile,
    wait_in_the_inbox,
    fail_to_deliver,
    backfill,
    be_killed_in_a_backfill,
    recover,
    lose_redis,
    work,
]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, ORDERS)), max_size=12))
def test_in_the_end_every_order_is_credited_once(redis: Redis, steps: list[tuple[object, int]]) -> None:
    redis.flushall()
    with operations_at(redis) as operations:
        for number in range(1, ORDERS + 1):
            sell(operations.polar, number)
        for step, number in steps:
            assert callable(step)
            step(operations, number)
        work(operations, 0)  # what waits has its turn
        operations.backfill()
        assert operations.balance() == 10 * ORDERS
        assert sorted(event["external_id"] for event in operations.polar.events) == [
            f"credits:order:{some_id(number)}:api_usage" for number in range(1, ORDERS + 1)
        ]
        assert operations.find_missing().is_empty
        assert operations.store.oldest_waiting() is None
