"""Whether the ledger was lost with its Redis: then nothing is granted before it is rebuilt."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.builders import refund_webhook, some_id
from tests.support.fake_service import HUNDRED
from tests.support.fakes import KilledError
from tests.support.ledgers import come, rebuild
from tests.support.polar_orders import Operations, operations_at, sell


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
