"""What Polar lists may be forged, cut off, or of rules that are gone: a rebuild takes no harm by it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.ledgers import (
    GIFT,
    PACK,
    PAID,
    come,
    compare,
    rebuild,
    rebuilder_of,
    refunding_operations_at,
    run,
    standing_of,
)
from tests.support.polar_orders import Operations
from tests.support.polar_standin import event, ingest, without_ties
from workers.core.grants import LONGEST_TEXT, RULE_SEPARATOR
from workers.core.manual import ManualRevoke
from workers.operations.pacing import ignore_progress
from workers.operations.rebuild.run import Rebuilder

REVOKED = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with refunding_operations_at(redis) as opened:
        yield opened


def forge(operations: Operations, key: str, units: float, rules: str = "pack") -> None:
    """Let somebody send an event that says it is ours, of the usual order."""
    said = {"granted_by": "credit-granter", "key": f"credits:{key}:api_usage", "order_id": ORDER}
    sent = event(customer_id=CUSTOMER, metadata={"units": units, "rules": rules, **said})
    assert ingest(operations.polar, sent).status_code == 200


def test_a_number_that_no_rule_gives_keeps_nobody_from_rebuilding(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, GIFT)
    come(operations, PAID)
    forge(operations, f"revoke:{ORDER}", 10**26, "pack,gift")
    redis.flushall()
    assert [one.why for one in compare(operations).invalid] == ["it has no number of credits"]
    assert rebuild(operations).grants == 1


def test_a_forged_refund_of_next_to_nothing_keeps_no_later_one_from_taking(
    operations: Operations, redis: Redis
) -> None:
    come(operations, PAID)
    forge(operations, f"refund:{ORDER}:999999999", 0.5)
    redis.flushall()
    rebuild(operations)
    come(operations, refund_webhook(1000))
    assert operations.balance() == 0


def test_an_event_that_copies_what_stands_beside_another_is_not_taken_for_that(
    operations: Operations,
) -> None:
    """Somebody mends a mistake by another event."""
    come(operations, PAID)
    forge(operations, f"order:{ORDER}", -5)
    found = compare(operations)
    assert (found.matching, found.differing) == (1, [])
    assert [one.why for one in found.invalid] == ["another event has the same key"]


def test_where_rule_names_were_cut_off_no_refund_takes_by_those_that_are_left(
    operations: Operations, redis: Redis
) -> None:
    """The cut may fall between two names, and one that was left out may keep its credits."""
    names = [letter * 62 for letter in "abcdefg"] + ["h" * 59]
    assert len(RULE_SEPARATOR.join(names)) == LONGEST_TEXT
    revoking = [rule(one, {"api_usage": 1}, triggers=["purchase"], on_refund="revoke") for one in names]
    operations.rules = rules_of(*revoking, rule("kept", {"api_usage": 1000}, triggers=["purchase"]))
    come(operations, PAID)
    redis.flushall()
    rebuild(operations)
    come(operations, refund_webhook(1000))
    assert operations.balance() == 1000 + len(names)


@pytest.mark.parametrize("is_manual_grant", [False, True])
def test_a_rule_that_was_renamed_gave_what_was_taken_all_the_same(
    operations: Operations, redis: Redis, *, is_manual_grant: bool
) -> None:
    operations.rules = rules_of(PACK, GIFT)
    come(operations, PAID, refund_webhook(500))
    if is_manual_grant:
        run(operations, [REVOKED])
    redis.flushall()
    operations.rules = rules_of(GIFT, PACK.replace('"pack"', '"starter"'))
    come(operations, PAID)
    rebuild(operations)
    come(operations, refund_webhook(1000))
    assert operations.balance() == (0 if is_manual_grant else 7)


def test_an_event_that_changes_places_while_pages_are_read_is_found_all_the_same(
    operations: Operations, redis: Redis
) -> None:
    bodies = [order_webhook(id=some_id(number)) for number in range(1, 151)]
    run(operations, [(f"msg-{number}", "order.paid", body) for number, body in enumerate(bodies)])
    redis.flushall()
    without_ties(operations.polar)
    stored: list[Any] = operations.polar.stored

    def swap(read: int, _total: int) -> None:
        if read == 100:
            one, other = stored[99].timestamp, stored[100].timestamp
            stored[99], stored[100] = (
                replace(stored[99], timestamp=other),
                replace(stored[100], timestamp=one),
            )

    rebuilder: Rebuilder = rebuilder_of(operations)
    now = stored[-1].timestamp + timedelta(milliseconds=1)
    found = rebuilder.compare(operations.rules, now=now, on_progress=swap)
    assert (found.missing_count, found.total, found.not_listed) == (150, 150, 0)


@pytest.mark.heavy
def test_batches_of_one_millisecond_each_are_restored_whole(operations: Operations, redis: Redis) -> None:
    bodies = [order_webhook(id=some_id(number)) for number in range(1, 701)]
    run(operations, [(f"msg-{number}", "order.paid", body) for number, body in enumerate(bodies)])
    (first, *_), stored = operations.polar.stored, operations.polar.stored
    stored[:500] = [replace(one, timestamp=first.timestamp) for one in stored[:500]]
    redis.flushall()
    found = compare(operations)
    assert (found.total, found.not_listed, found.missing_count) == (700, 0, 700)
    assert rebuild(operations).grants == 700


def test_an_event_that_the_list_shows_a_minute_late_is_waited_for(
    operations: Operations, redis: Redis
) -> None:
    come(operations, PAID, order_webhook(id=some_id(1)))
    redis.flushall()
    late = [operations.polar.stored.pop()]

    def wait(_seconds: float) -> None:
        operations.polar.stored.extend(late)
        late.clear()

    rebuilder = rebuilder_of(operations)
    patient = replace(rebuilder, pacer=replace(rebuilder.pacer, sleep=wait))
    found = patient.compare(operations.rules, now=datetime.now(UTC), on_progress=ignore_progress)
    assert (found.missing_count, found.not_listed, found.is_growing) == (2, 0, False)


def test_what_polar_has_taken_back_beyond_what_it_gave_is_told(operations: Operations, redis: Redis) -> None:
    """A worker was at it before the rebuild, and did not know what a person had taken."""
    come(operations, PAID)
    run(operations, [REVOKED])
    redis.flushall()
    come(operations, PAID, refund_webhook(300))
    assert compare(operations).over_reversed == {(ORDER, "api_usage"): 30}
    rebuild(operations)
    assert standing_of(operations).taken == {"api_usage": {"pack": 130}}


def test_what_was_taken_and_no_more_is_not_told_as_beyond(operations: Operations) -> None:
    come(operations, PAID, refund_webhook(300))
    run(operations, [REVOKED])
    forge(operations, f"revoke:{ORDER}", 5)  # beside the true one
    assert compare(operations).over_reversed == {}
