"""Rebuilds that overlap, or follow each other: nothing is taken, frozen, listed or forgotten twice."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of, webhook
from tests.support.fake_service import KEPT
from tests.support.fakes import KilledError
from tests.support.ledgers import come, ledger_in, look, rebuild, rebuilding_at, restorer_of, standing_of
from tests.support.polar_orders import Mending
from tests.support.real_stores import claim_of
from workers.core.grants import customer_subject, order_subject
from workers.operations.rebuild.comparison import Rebuilding
from workers.operations.rebuild.run import Restored
from workers.store.audit import Audit

SUBJECT = order_subject(ORDER)
PAID = order_webhook()
FIRST = rule("first", {"images": 5, "api_usage": 1}, triggers=["subscription.cycled"], once_per="customer")


@pytest.fixture
def mending(redis: Redis) -> Iterator[Mending]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with rebuilding_at(redis) as opened:
        yield opened


def restore(mending: Mending, found: Rebuilding) -> Restored:
    return restorer_of(mending).restore(found, tell=lambda _done, _whole: None)


def test_what_another_rebuild_has_written_meanwhile_is_not_taken_a_second_time(
    mending: Mending, redis: Redis
) -> None:
    """One waits at its question, or still reads, while the other writes."""
    come(mending, PAID, refund_webhook(300))
    redis.flushall()
    first, second = look(mending), look(mending)
    restore(mending, first)
    done = restore(mending, second)
    assert (done.grants, done.changed) == (0, [SUBJECT])
    come(mending, refund_webhook(1000))
    assert mending.balance() == 0


def test_what_another_rebuild_has_frozen_meanwhile_stays_as_it_is(mending: Mending, redis: Redis) -> None:
    come(mending, PAID)
    redis.flushall()
    first = look(mending)
    mending.rules = KEPT  # the other host's file
    second = look(mending)
    restore(mending, first)
    restore(mending, second)
    assert claim_of(standing_of(mending)).grants[0].parts[0].revocable


def test_what_is_not_written_down_is_not_counted(mending: Mending, redis: Redis) -> None:
    come(mending, PAID, refund_webhook(300))
    redis.delete(f"credits:refund:{ORDER}:300")  # as in a backup
    found = look(mending)
    redis.flushall()  # lost once more
    done = restore(mending, found)
    assert (done.grants, done.changed, ledger_in(redis)) == (0, [SUBJECT], {})


def test_a_refund_that_has_taken_nothing_yet_is_told_by_every_later_rebuild(
    mending: Mending, redis: Redis
) -> None:
    """The first may be killed before it has said so."""
    come(mending, PAID, refund_webhook(300))
    redis.flushall()
    come(mending, refund_webhook(700))

    def die(_done: int, _whole: int) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        restorer_of(mending).restore(look(mending), tell=die)
    assert look(mending).refund_pending == [SUBJECT]
    assert rebuild(mending).refund_pending == [SUBJECT]
    come(mending, refund_webhook(700))
    assert rebuild(mending).refund_pending == []


def test_a_bonus_that_comes_back_in_two_rebuilds_is_listed_once_and_freezes_nobodys_welcome(
    mending: Mending, redis: Redis
) -> None:
    """Whatever became of its rule between them."""
    mending.rules = rules_of(FIRST)
    come(mending, webhook("subscription_cycled", customer_id=CUSTOMER))
    redis.flushall()
    late = mending.polar.stored.pop(0)
    rebuild(mending)
    mending.polar.stored.append(late)
    mending.rules = rules_of()
    rebuild(mending)
    listed = [one.grant.meter for one in Audit(redis, mending.ledger).of_customer(CUSTOMER)]
    assert sorted(listed) == ["api_usage", "images"]
    assert standing_of(mending, customer_subject(CUSTOMER)).own is None
