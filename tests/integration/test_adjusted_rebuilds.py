"""A lost ledger is read back from Polar with its adjustments: refunds and adjustments go on from there."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.adjusted_orders import adjust, buy, find, given_to, pack, refund
from tests.support.builders import METERS, PAID_CENTS, order_webhook, rule, rules_of, some_id
from tests.support.ledgers import compare, ledger_in, rebuild, standing_of, subjects_in, trust
from tests.support.polar_orders import Operations, operations_at
from workers.core.adjusted import credited, taken_back
from workers.core.adjustments import UNCONFIRMED, UNKNOWN_SHARE, why_left_alone
from workers.core.delivery import Status
from workers.core.grants import adjust_subject, order_subject

SUBJECT = order_subject(some_id(1))


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credited order 1 with 5, took a part back after a refund, and adjusted it to 50 and 20."""
    with operations_at(redis) as opened:
        for meter, summed in METERS.items():
            opened.polar.add_meter(meter, summed)
        opened.rules = rules_of(rule("pack", {"api_usage": 5}, on_refund="revoke"))
        buy(opened, 1)
        refund(opened, 1, 300)
        for units in (50, 20):
            opened.rules = rules_of(rule("pack", {"api_usage": units}, on_refund="revoke"))
            assert [one.status for one in adjust(opened)] == [Status.GRANTED]
        yield opened


def test_everything_is_restored_as_it_was(operations: Operations, redis: Redis) -> None:
    before, standing = ledger_in(redis), standing_of(operations, SUBJECT)
    assert subjects_in(redis)[:2] == [adjust_subject(some_id(1), number) for number in (1, 2)]
    redis.flushall()
    assert operations.is_ledger_lost()
    rebuild(operations)
    assert ledger_in(redis) == before
    restored = standing_of(operations, SUBJECT)
    assert (restored.adjusted, credited(restored)) == (2, credited(standing))
    assert taken_back(restored) == taken_back(standing) == {"api_usage": {"pack": 6}}
    assert compare(operations).missing == {}


def test_later_refunds_and_adjustments_go_on_from_there(operations: Operations, redis: Redis) -> None:
    redis.flushall()
    rebuild(operations)
    assert why_left_alone(standing_of(operations, SUBJECT), "pack") == UNKNOWN_SHARE
    refund(operations, 1, 600)
    assert given_to(operations, 1) == 8
    operations.deliver(order_webhook(id=some_id(1)), "again")
    operations.rules = rules_of(rule("pack", {"api_usage": 100}, on_refund="revoke"))
    adjust(operations)
    assert given_to(operations, 1) == 40
    assert operations.polar.events[-1]["external_id"] == f"credits:adjust:{some_id(1)}:3:api_usage"
    refund(operations, 1, PAID_CENTS)
    assert given_to(operations, 1) == 0


def test_a_lost_adjustment_alone_is_restored(operations: Operations, redis: Redis) -> None:
    before = ledger_in(redis)
    redis.delete(adjust_subject(some_id(1), 2))
    redis.hset(SUBJECT, mapping={"adjusted": "1", "also": "refund:300 adjust:1"})
    rebuild(operations)
    assert ledger_in(redis) == before
    assert standing_of(operations, SUBJECT).adjusted == 2


def test_another_amount_at_polar_is_taken_over_with_what_it_leads_to(
    operations: Operations, redis: Redis
) -> None:
    """The number was used by a ledger that was lost."""
    redis.hset(
        adjust_subject(some_id(1), 2),
        mapping={"grant:api_usage": "pack=7:revoke", "revised:api_usage": "50 60"},
    )
    rebuild(operations)
    (now,) = credited(standing_of(operations, SUBJECT))
    assert now.units == 20
    refund(operations, 1, PAID_CENTS)
    assert given_to(operations, 1) == 0


def test_a_number_that_a_lost_ledger_used_needs_review(operations: Operations, redis: Redis) -> None:
    redis.flushall()
    operations.rules = rules_of(rule("pack", {"api_usage": 5}, on_refund="revoke"))
    operations.deliver(order_webhook(id=some_id(1)), "again")
    operations.confirmer.run_if_due()
    operations.rules = rules_of(rule("pack", {"api_usage": 60}, on_refund="revoke"))
    (outcome,) = adjust(operations)
    assert "needs review" in outcome.reason
    assert [one.reason for one in find(operations).skipped] == [UNCONFIRMED]
    assert given_to(operations, 1) == 14  # as before: Polar counts a key once


def test_adjustments_of_orders_that_nobody_knows_are_passed_over(
    operations: Operations, redis: Redis
) -> None:
    redis.flushall()
    operations.polar.stored[:] = [one for one in operations.polar.stored if ":adjust:" in str(one)]
    found = compare(operations)
    assert (found.missing, {one.why for one in found.invalid}) == (
        {},
        {"neither Polar nor the ledger has the grant that it adjusts"},
    )


def test_a_part_that_was_restored_with_others_is_left_alone(redis: Redis) -> None:
    with operations_at(redis) as operations:
        operations.rules = pack(5)
        buy(operations, 1)
        redis.flushall()
        rebuild(operations)
        trust(operations)
        operations.deliver(order_webhook(id=some_id(1)), "again")
        operations.rules = pack(50)
        (skipped,) = find(operations).skipped
        assert skipped.reason.startswith("restored from Polar, which does not record")
