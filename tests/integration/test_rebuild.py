"""A lost ledger is read back from Polar into a real Redis, whatever happens meanwhile."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast
from uuid import uuid4

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import CUSTOMER, fact_like, order_webhook, refund_webhook, some_id
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
    run,
    standing_of,
)
from tests.support.polar_orders import Operations
from tests.support.polar_standin import without_ties
from tests.support.real_stores import claim_of
from workers.core.delivery import Status
from workers.core.grants import order_subject
from workers.core.planning import plan_for
from workers.errors import PolarDeniedError
from workers.store import keys
from workers.store.audit import Audit


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with refunding_operations_at(redis) as opened:
        yield opened


def trail(operations: Operations) -> list[tuple[str, str]]:
    rows = cast(list[tuple[bytes, dict[bytes, bytes]]], operations.redis.xrange(keys.AUDIT))
    return [(row[b"subject"].decode(), row[b"meter"].decode()) for _, row in rows]


def test_times_are_those_at_which_polar_took_it(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    (stored,) = operations.polar.stored
    redis.flushall()
    rebuild(operations)
    claim = claim_of(standing_of(operations))
    assert abs(claim.claimed_at - stored.timestamp) < timedelta(milliseconds=1)
    assert claim.settled == {"api_usage": claim.claimed_at}
    assert claim.delivery_id == "rebuild"


def test_hundreds_are_restored_in_batches_and_listed_as_before_whenever_it_is_killed(
    operations: Operations, redis: Redis
) -> None:
    orders = [order_webhook(id=some_id(number), customer_id=CUSTOMER) for number in range(1, 451)]
    run(operations, [(f"msg-{number}", "order.paid", body) for number, body in enumerate(orders)])
    come(operations, refund_webhook(500, id=some_id(1)))
    without_ties(operations.polar)
    ledger, listed = ledger_in(redis), sorted(trail(operations))
    redis.flushall()

    def die(done: int, _whole: int) -> None:
        if done == 200:
            raise KilledError

    with pytest.raises(KilledError):
        rebuilder_of(operations).restore(compare(operations), on_progress=die)
    assert 200 <= len(ledger_in(redis)) < 300
    done = rebuild(operations)
    assert 200 <= done.grants <= 251
    assert ledger_in(redis) == ledger
    assert sorted(trail(operations)) == listed
    times = [one.granted_at for one in Audit(redis, operations.ledger).newest()]
    assert times == sorted(times, key=lambda one: one or datetime.min.replace(tzinfo=UTC), reverse=True)
    assert len(list(Audit(redis, operations.ledger).of_customer(CUSTOMER))) == 451
    assert redis.exists(keys.RESTORED) == 0


def test_what_was_granted_since_stays_where_it_is_in_the_trail(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    redis.flushall()
    come(operations, order_webhook(id=some_id(1)))
    rebuild(operations)
    assert trail(operations) == [(order_subject(some_id(1)), "api_usage"), (SUBJECT, "api_usage")]
    assert operations.ledger.count_grants() == 2


def test_what_polar_has_and_a_delivery_has_claimed_is_settled(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    redis.flushall()
    operations.ledger.claim([("msg-1", plan_for(fact_like(), operations.rules))])
    found = compare(operations)
    assert ([one.key for one in found.claimed], found.missing, found.differing) == (
        [f"{SUBJECT}:api_usage"],
        {},
        [],
    )
    rebuild(operations)
    assert standing_of(operations).can_be_taken_back
    assert come(operations, PAID) == [Status.SKIPPED]


def test_what_takes_back_what_was_never_granted_is_passed_over(operations: Operations, redis: Redis) -> None:
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    del operations.polar.stored[0]  # the credit
    found = compare(operations)
    assert (found.missing, [one.why for one in found.invalid]) == (
        {},
        ["neither Polar nor the ledger has the grant that it takes back"],
    )


def test_a_second_event_with_a_key_of_ours_is_passed_over(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    redis.flushall()
    first = operations.polar.stored[0]
    again = {**first.sent, "metadata": {**first.metadata, "units": -7}}
    later = first.timestamp + timedelta(milliseconds=1)
    operations.polar.stored.append(replace(first, id=uuid4(), timestamp=later, sent=again))
    found = compare(operations)
    assert [one.why for one in found.invalid] == ["another event has the same key"]
    assert [one.units for one in found.grants()] == [Decimal(100)]


def test_within_our_share_of_the_rate_limit_it_waits_its_turn(operations: Operations, redis: Redis) -> None:
    come(operations, *(order_webhook(id=some_id(number)) for number in range(1, 4)))
    redis.flushall()
    redis.set(keys.PAUSE, "Polar answered 429", px=5000)
    assert rebuild(operations).grants == 3
    assert operations.slept


def test_a_token_that_may_not_read_events_is_told_so(operations: Operations) -> None:
    operations.polar.scopes = frozenset()
    with pytest.raises(PolarDeniedError, match="the scope events:read"):
        compare(operations)


def test_where_polar_has_nothing_of_ours_nothing_is_written(operations: Operations, redis: Redis) -> None:
    assert rebuild(operations).grants == 0
    assert redis.exists(keys.AUDIT, keys.RESTORED, keys.CUSTOMERS) == 0
