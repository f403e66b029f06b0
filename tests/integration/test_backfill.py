"""Orders whose webhooks never came, on a real Redis and a Polar without sockets: found, and granted once."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from app.demo.polar import RateLimited
from tests.support.builders import rule, rules_of, some_id
from tests.support.killed import KilledError
from tests.support.ledgers import rebuild
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.real_stores import let_leases_end, let_pause_end
from workers.core.delivery import Status
from workers.errors import PolarDeniedError, PolarUnreachableError
from workers.operations.backfill.scanned_orders import OrderProblem, delivery_id_of
from workers.timings import DEFAULT_TIMINGS


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with operations_at(redis) as opened:
        yield opened


def test_a_few_hundred_orders_are_read_page_by_page_and_granted_oldest_first(operations: Operations) -> None:
    count = DEFAULT_TIMINGS.deliveries_per_lease + 10
    for number in range(1, count + 1):
        sell(operations.polar, number, days_ago=number / 100)
    told: list[tuple[int, int]] = []
    backlog = operations.find_missing(on_progress=lambda read, total: told.append((read, total)))
    assert told == [(min(read, count), count) for read in range(100, count + 100, 100)]
    batches = list(operations.backfiller.grant(backlog, operations.granter))
    assert [len(batch) for batch in batches] == [DEFAULT_TIMINGS.deliveries_per_lease, 10]
    assert batches[1][-1].order_id == some_id(1)  # the newest
    assert operations.balance() == 10 * count
    assert operations.find_missing().scan.granted == count


def test_orders_of_one_moment_are_all_found(operations: Operations) -> None:
    """Polar sorts by that alone, so its pages over them repeat some and miss others."""
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    for number in range(1, 151):
        sell(operations.polar, number, created_at=at)
    assert operations.find_missing().scan.read == 150
    assert {one.status for one in operations.backfill()} == {Status.GRANTED}
    assert operations.balance() == 1500


def test_orders_that_polar_counts_and_does_not_list_are_counted_and_dated(operations: Operations) -> None:
    order = json.loads(sell(operations.polar, 1))["data"]
    operations.polar.orders["listed twice"] = operations.polar.orders[some_id(1)]  # and another not at all
    backlog = operations.find_missing()
    assert (backlog.not_listed, backlog.is_empty, list(backlog.scan.missing)) == (1, False, [some_id(1)])
    first, last = min(backlog.not_listed_around), max(backlog.not_listed_around)
    assert first <= datetime.fromisoformat(order["created_at"]) <= last


def test_a_bonus_that_was_read_back_without_its_orders_credits_is_named_and_left(
    operations: Operations,
) -> None:
    """Bonuses are sent first: the rest was in the next request, or the rules gave nothing else then."""
    operations.rules = rules_of(
        rule("pack", {"api_usage": 10}), rule("bonus", {"seconds": 5}, once_per="customer")
    )
    operations.deliver(sell(operations.polar, 1))
    operations.polar.stored = [one for one in operations.polar.stored if one.sent["name"] == "seconds"]
    operations.redis.flushall()
    rebuild(operations)
    scan = operations.find_missing().scan
    assert (scan.granted, scan.missing) == (1, {})
    why = "Polar has 5 seconds; today's rules also give 10 api_usage"
    assert list(scan.partial) == [OrderProblem(order_id=some_id(1), reason=why)]


def test_what_a_killed_backfill_has_begun_the_next_one_finishes(operations: Operations) -> None:
    sell(operations.polar, 1)
    sell(operations.polar, 2)
    with pytest.raises(KilledError):
        operations.backfill_but_die_before_settling()
    assert operations.balance() == 20  # Polar had taken them
    backlog = operations.find_missing()
    assert (set(backlog.interrupted), backlog.scan.missing, backlog.claimed_elsewhere) == (
        {delivery_id_of(some_id(1)), delivery_id_of(some_id(2))},
        {},
        0,
    )
    assert {one.status for one in operations.backfill()} == {Status.GRANTED}
    assert operations.balance() == 20
    assert operations.find_missing().is_empty


def test_what_a_killed_backfill_has_begun_a_worker_finishes_once_its_lease_ends(
    operations: Operations,
) -> None:
    sell(operations.polar, 1)
    with pytest.raises(KilledError):
        operations.backfill_but_die_before_settling()
    let_leases_end(operations.redis)
    (outcome,) = operations.granter.run(operations.store.lease(10))
    assert outcome.status is Status.GRANTED
    assert operations.balance() == 10


def test_a_webhook_that_comes_while_the_orders_are_read_credits_nothing_twice(operations: Operations) -> None:
    body = sell(operations.polar, 1)
    backlog = operations.find_missing()
    assert operations.deliver(body) is Status.GRANTED
    (outcome,) = next(operations.backfiller.grant(backlog, operations.granter))
    assert outcome.status is Status.SKIPPED
    assert outcome.reason.startswith("already granted")
    assert operations.balance() == 10


def test_a_webhook_that_comes_after_all_credits_nothing_more(operations: Operations) -> None:
    body = sell(operations.polar, 1)
    operations.backfill()
    assert operations.deliver(body) is Status.SKIPPED
    assert operations.balance() == 10


def test_an_outage_ends_it_and_what_was_not_begun_is_left_as_it_was(operations: Operations) -> None:
    for number in range(1, DEFAULT_TIMINGS.deliveries_per_lease + 2):
        sell(operations.polar, number)
    backlog = operations.find_missing()
    operations.polar.scopes -= {"events:write"}
    with pytest.raises(PolarUnreachableError, match="Polar accepts nothing at the moment"):
        list(operations.backfiller.grant(backlog, operations.granter))
    left = [delivery_id_of(some_id(n)) for n in range(1, DEFAULT_TIMINGS.deliveries_per_lease + 2)]
    assert len(operations.store.get(left)) == DEFAULT_TIMINGS.deliveries_per_lease
    operations.polar.scopes |= {"events:write"}
    let_pause_end(operations.redis)
    assert {one.status for one in operations.backfill()} == {Status.GRANTED}
    assert operations.balance() == 10 * (DEFAULT_TIMINGS.deliveries_per_lease + 1)


def test_a_rate_limit_in_the_midst_is_sat_out_and_the_batch_goes_on(operations: Operations) -> None:
    sell(operations.polar, 1)
    backlog = operations.find_missing()
    operations.polar.faults.append(RateLimited(retry_after=60))
    batches = list(operations.backfiller.grant(backlog, operations.granter))
    assert [one.status for batch in batches for one in batch] == [Status.GRANTED]
    assert [round(seconds) for seconds in operations.slept] == [60]
    assert operations.balance() == 10


def test_since_counts_the_three_weeks_in_which_an_order_may_be_paid_and_until_ends_it(
    operations: Operations,
) -> None:
    for number, days_ago in enumerate((29, 27, 3, 1), 1):
        sell(operations.polar, number, days_ago=days_ago)
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    assert list(operations.find_missing().scan.missing) == [some_id(2), some_id(3), some_id(4)]
    assert list(operations.find_missing(until=two_days_ago).scan.missing) == [some_id(2), some_id(3)]


def test_a_scope_that_is_not_given_is_named(operations: Operations) -> None:
    operations.polar.scopes = frozenset()
    with pytest.raises(PolarDeniedError, match="orders:read"):
        operations.find_missing()
    with pytest.raises(PolarDeniedError, match="webhooks:read"):
        operations.recoverer.find_lost(since=datetime.now(UTC), until=datetime.now(UTC))
