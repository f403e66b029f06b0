"""Whether the ledger was lost with its Redis: then nothing is granted before it is rebuilt."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from redis import Redis
from structlog.testing import capture_logs

from tests.support.builders import refund_webhook, some_id
from tests.support.fake_service import HUNDRED
from tests.support.killed import KilledError
from tests.support.ledgers import come, rebuild
from tests.support.polar_orders import Operations, operations_at, sell
from workers.operations.pacing import Pacer
from workers.operations.rebuild.lost_ledger import LostLedgerWatch
from workers.store import keys
from workers.store.losses import LOST, TO_DO, ComparisonSchedule, lost_at
from workers.store.throttle import Throttle


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with operations_at(redis) as opened:
        yield opened


def test_a_first_backfill_that_was_killed_is_no_ledger_that_was_lost(operations: Operations) -> None:
    """Polar has taken credits, and the ledger knows of none but by its claims."""
    sell(operations.polar, 1)
    with pytest.raises(KilledError):
        operations.backfill_but_die_before_settling()
    assert not operations.is_ledger_lost()
    operations.redis.flushall()
    assert operations.is_ledger_lost()


def test_a_lost_ledger_stays_one_when_workers_go_on(operations: Operations) -> None:
    """A live webhook is granted within seconds of the loss."""
    operations.deliver(sell(operations.polar, 1))
    operations.redis.flushall()
    operations.deliver(sell(operations.polar, 2))
    assert operations.is_ledger_lost()
    rebuild(operations)
    assert not operations.is_ledger_lost()


def test_what_was_taken_back_of_nothing_is_no_ledger_that_was_lost(operations: Operations) -> None:
    """A rebuild leaves it out: nobody could ever get rid of it."""
    operations.rules = HUNDRED
    come(operations, sell(operations.polar, 1), refund_webhook(300, id=some_id(1)))
    operations.polar.stored = [one for one in operations.polar.stored if "refund" in one.sent["external_id"]]
    assert len(operations.polar.stored) == 1
    operations.redis.flushall()
    assert not operations.is_ledger_lost()


def watch_of(operations: Operations) -> LostLedgerWatch:
    return LostLedgerWatch(
        schedule=ComparisonSchedule(operations.redis),
        ledger=operations.ledger,
        polar=operations.client,
        pacer=operations.pacer,
    )


def test_a_redis_that_was_emptied_is_noticed_by_processes_that_remember_nothing(
    operations: Operations,
) -> None:
    operations.deliver(sell(operations.polar, 1))
    watch_of(operations).run_if_due()
    assert lost_at(operations.redis) is None
    operations.redis.flushall()
    with capture_logs() as lines:
        watch_of(operations).run_if_due()
        watch_of(operations).run_if_due()
    assert [(line["event"], line["to_do"]) for line in lines] == [(LOST, TO_DO)]
    assert lost_at(operations.redis)
    rebuild(operations)
    watch_of(operations).run_if_due()
    assert lost_at(operations.redis) is None


def test_a_ledger_that_is_complete_costs_one_request_an_hour(operations: Operations) -> None:
    operations.deliver(sell(operations.polar, 1))
    for _ in range(3):
        watch_of(operations).run_if_due()
    assert 3_500 < operations.redis.ttl(keys.COMPARED) <= 3_600
    operations.polar.events.clear()  # another comparison would find nothing either
    operations.redis.delete(keys.COMPARED)
    watch_of(operations).run_if_due()
    assert lost_at(operations.redis) is None


def test_a_polar_that_is_away_is_asked_again_within_minutes(operations: Operations) -> None:
    throttle = Throttle(operations.redis)
    throttle.pause(60, "Polar answered 503")
    impatient = Pacer(throttle=throttle, fail_fast=True)
    with capture_logs() as lines:
        replace(watch_of(operations), pacer=impatient).run_if_due()
    assert [line["event"] for line in lines] == ["ledger not compared with Polar"]
    assert 0 < operations.redis.ttl(keys.COMPARED) <= 300
