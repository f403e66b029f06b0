"""Rebuilds that overlap, or follow each other: nothing is taken, frozen, listed or forgotten twice."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER, refund_webhook, rule, rules_of, webhook
from tests.support.fake_service import KEPT
from tests.support.killed import KilledError
from tests.support.ledgers import (
    PAID,
    SUBJECT,
    come,
    compare,
    ledger_in,
    rebuild,
    rebuilder_of,
    refunding_operations_at,
    standing_of,
)
from tests.support.polar_orders import Operations
from tests.support.real_stores import claim_of
from workers.core.grants import customer_subject
from workers.operations.rebuild.comparison import LedgerComparison
from workers.operations.rebuild.run import RebuildResult
from workers.store.audit import Audit

FIRST = rule("first", {"images": 5, "api_usage": 1}, triggers=["subscription.cycled"], once_per="customer")


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with refunding_operations_at(redis) as opened:
        yield opened


def restore(operations: Operations, found: LedgerComparison) -> RebuildResult:
    return rebuilder_of(operations).restore(found, on_progress=lambda _done, _whole: None)


def test_what_another_rebuild_has_written_meanwhile_is_not_taken_a_second_time(
    operations: Operations, redis: Redis
) -> None:
    """One waits at its question, or still reads, while the other writes."""
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    first, second = compare(operations), compare(operations)
    restore(operations, first)
    done = restore(operations, second)
    assert (done.grants, done.changed) == (0, [SUBJECT])
    come(operations, refund_webhook(1000))
    assert operations.balance() == 0


def test_what_another_rebuild_has_frozen_meanwhile_stays_as_it_is(
    operations: Operations, redis: Redis
) -> None:
    come(operations, PAID)
    redis.flushall()
    first = compare(operations)
    operations.rules = KEPT  # the other host's file
    second = compare(operations)
    restore(operations, first)
    restore(operations, second)
    assert claim_of(standing_of(operations)).grants[0].parts[0].revocable


def test_what_is_not_written_down_is_not_counted(operations: Operations, redis: Redis) -> None:
    come(operations, PAID, refund_webhook(300))
    redis.delete(f"credits:refund:{ORDER}:300")  # as in a backup
    found = compare(operations)
    redis.flushall()  # lost once more
    done = restore(operations, found)
    assert (done.grants, done.changed, ledger_in(redis)) == (0, [SUBJECT], {})


def test_a_refund_that_has_taken_nothing_yet_is_told_by_every_later_rebuild(
    operations: Operations, redis: Redis
) -> None:
    """The first may be killed before it has said so."""
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    come(operations, refund_webhook(700))

    def die(_done: int, _whole: int) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        rebuilder_of(operations).restore(compare(operations), on_progress=die)
    assert compare(operations).refund_pending == [SUBJECT]
    assert rebuild(operations).refund_pending == [SUBJECT]
    come(operations, refund_webhook(700))
    assert rebuild(operations).refund_pending == []


def test_a_bonus_that_comes_back_in_two_rebuilds_is_listed_once_and_freezes_nobodys_welcome(
    operations: Operations, redis: Redis
) -> None:
    """Whatever became of its rule between them."""
    operations.rules = rules_of(FIRST)
    come(operations, webhook("subscription_cycled", customer_id=CUSTOMER))
    redis.flushall()
    late = operations.polar.stored.pop(0)
    rebuild(operations)
    operations.polar.stored.append(late)
    operations.rules = rules_of()
    rebuild(operations)
    listed = [one.grant.meter for one in Audit(redis, operations.ledger).of_customer(CUSTOMER)]
    assert sorted(listed) == ["api_usage", "images"]
    assert standing_of(operations, customer_subject(CUSTOMER)).own is None
