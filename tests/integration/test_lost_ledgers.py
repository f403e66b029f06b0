"""Whether the ledger was lost with its Redis: then nothing is granted before it is rebuilt."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.builders import refund_webhook, some_id
from tests.support.fake_service import HUNDRED
from tests.support.fakes import KilledError
from tests.support.ledgers import come, rebuild
from tests.support.polar_orders import Mending, mending_at, sell


@pytest.fixture
def mending(redis: Redis) -> Iterator[Mending]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with mending_at(redis) as opened:
        yield opened


def test_a_first_backfill_that_was_killed_is_no_ledger_that_was_lost(mending: Mending) -> None:
    """Polar has taken credits, and the ledger knows of none but by its claims."""
    sell(mending.polar, 1)
    with pytest.raises(KilledError):
        mending.backfill_but_die_before_settling()
    assert not mending.is_ledger_lost()
    mending.redis.flushall()
    assert mending.is_ledger_lost()


def test_a_lost_ledger_stays_one_when_workers_go_on(mending: Mending) -> None:
    """A live webhook is granted within seconds of the loss."""
    mending.deliver(sell(mending.polar, 1))
    mending.redis.flushall()
    mending.deliver(sell(mending.polar, 2))
    assert mending.is_ledger_lost()
    rebuild(mending)
    assert not mending.is_ledger_lost()


def test_what_was_taken_back_of_nothing_is_no_ledger_that_was_lost(mending: Mending) -> None:
    """A rebuild leaves it out: nobody could ever get rid of it."""
    mending.rules = HUNDRED
    come(mending, sell(mending.polar, 1), refund_webhook(300, id=some_id(1)))
    mending.polar.stored = [one for one in mending.polar.stored if "refund" in one.sent["external_id"]]
    assert len(mending.polar.stored) == 1
    mending.redis.flushall()
    assert not mending.is_ledger_lost()
