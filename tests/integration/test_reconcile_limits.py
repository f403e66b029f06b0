"""What the reconciler leaves to people, and names: it never assumes, and claims nothing anew."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from config.rules import parse_rules
from tests.support.builders import CUSTOMER, some_id
from tests.support.fake_service import NOBODY
from tests.support.ledgers import rebuild
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.reconciling import CREDIT_FROM, reconciler, told_by
from workers.core.delivery import Status
from workers.operations.backfill.scanned_orders import delivery_id_of
from workers.store import keys
from workers.store.scripts import milliseconds_of

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
RENEWAL = "order_paid_subscription_cycle_seats_order_seats_null"


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with operations_at(redis) as opened:
        yield opened


def test_what_a_person_must_look_at_is_named_and_never_assumed(
    operations: Operations, tmp_path: Path
) -> None:
    sell(operations.polar, 1, RENEWAL)
    rules = CREDIT_FROM.replace("api_usage: 10", "api_usage: 10 * seats")
    (line,) = told_by(reconciler(operations, tmp_path, rules))
    assert (line["log_level"], line["needs_review"]) == ("warning", [f"{some_id(1)}: seats"])
    assert operations.balance() == 0


def test_what_polar_refuses_is_named_once_and_is_a_failed_delivery_from_then_on(
    operations: Operations, tmp_path: Path
) -> None:
    sell(operations.polar, 1, customer_id=some_id(999))
    one = reconciler(operations, tmp_path)
    (line,) = told_by(one)
    assert line["log_level"] == "warning"
    assert str(line["not_granted"]).startswith(f"['{some_id(1)}: refused by Polar")
    assert operations.store.get([delivery_id_of(some_id(1))])[0].status is Status.FAILED
    operations.redis.delete(keys.RECONCILED)
    assert told_by(one) == []


def test_by_a_ledger_that_was_lost_nothing_is_claimed_anew(operations: Operations, tmp_path: Path) -> None:
    operations.deliver(sell(operations.polar, 1))
    sell(operations.polar, 2)
    operations.redis.flushall()
    one = reconciler(operations, tmp_path)
    (line,) = told_by(one)
    assert (line["event"], line["log_level"]) == ("reconciliation skipped", "error")
    assert "credits rebuild" in str(line["reason"])
    assert operations.store.count_by_status()[Status.GRANTED] == 0
    rebuild(operations)
    operations.redis.delete(keys.RECONCILED)
    assert [line["left_to_backfill"][0][:2] for line in told_by(one)] == ["1 "]
    assert [one.status for one in operations.backfill()] == [Status.GRANTED]


def test_what_rules_give_since_an_order_was_read_back_is_not_told_at_every_round(
    operations: Operations, tmp_path: Path
) -> None:
    operations.deliver(sell(operations.polar, 1))
    operations.redis.flushall()
    rebuild(operations)
    also = CREDIT_FROM.replace("api_usage: {}", "api_usage: {}, images: {}").replace("10}", "10, images: 5}")
    assert told_by(reconciler(operations, tmp_path, also)) == []


def test_a_rule_that_is_new_is_never_applied_to_what_came_before_it_by_itself(
    operations: Operations, tmp_path: Path
) -> None:
    nobody = CREDIT_FROM.replace("pack,", f"pack, products: [{some_id(1)}],")
    operations.rules = parse_rules(nobody, "rules.yaml")
    assert operations.deliver(sell(operations.polar, 1)) is Status.SKIPPED
    assert told_by(reconciler(operations, tmp_path)) == []
    assert operations.balance() == 0


def expire(operations: Operations, number: int) -> None:
    """Let the delivery of an order expire, as CREDITS_RETAIN would."""
    about = (keys.about(some_id(number)), keys.about(CUSTOMER))
    operations.redis.delete(keys.delivery("msg-1"), keys.body("msg-1"), *about)


def test_an_order_that_was_skipped_is_left_though_its_delivery_has_expired(
    operations: Operations, tmp_path: Path
) -> None:
    """A round each week looks back five weeks, and a delivery lives for 30 days or less."""
    one = reconciler(operations, tmp_path, every=timedelta(days=7))
    in_force, operations.rules = operations.rules, NOBODY
    assert operations.deliver(sell(operations.polar, 1, days_ago=33)) is Status.SKIPPED
    expire(operations, 1)
    operations.rules = in_force
    assert (told_by(one), operations.balance()) == ([], 0)
    assert [one.status for one in operations.backfill(since=LONG_AGO)] == [Status.GRANTED]  # a person may


def test_an_order_from_before_a_worker_first_ran_is_left_to_backfill(
    operations: Operations, tmp_path: Path
) -> None:
    one = reconciler(operations, tmp_path)
    sell(operations.polar, 1, days_ago=2)
    sell(operations.polar, 2, days_ago=1)
    between = datetime.now(UTC) - timedelta(days=1.5)
    operations.redis.set(keys.BEGAN, milliseconds_of(between))
    (line,) = told_by(one)
    assert (line["granted"], line["log_level"], operations.balance()) == (1, "warning", 10)
    (left,) = line["left_to_backfill"]
    assert left.startswith("1 created before a worker first ran here: `credits backfill`")
    assert [one.status for one in operations.backfill()] == [Status.GRANTED]
    operations.redis.delete(keys.RECONCILED)
    assert told_by(one) == []


def test_orders_that_polar_counts_and_does_not_list_are_told(operations: Operations, tmp_path: Path) -> None:
    sell(operations.polar, 1)
    operations.polar.orders["listed twice"] = operations.polar.orders[some_id(1)]
    (line,) = told_by(reconciler(operations, tmp_path))
    assert (line["granted"], line["log_level"], str(line["not_listed"])[:4]) == (1, "warning", "['1 ")


def test_after_a_restored_backup_and_a_rebuild_earlier_orders_are_left_to_backfill(
    operations: Operations, tmp_path: Path
) -> None:
    """The backup is older than the skip of an order, so nobody knows of that."""
    one = reconciler(operations, tmp_path)
    rebuild(operations)
    assert operations.ledger.began_at() is not None  # nothing was lost
    operations.deliver(sell(operations.polar, 1))
    backup = {name: operations.redis.dump(name) for name in operations.redis.scan_iter()}
    operations.deliver(sell(operations.polar, 2), "msg-2")
    in_force, operations.rules = operations.rules, NOBODY
    operations.deliver(sell(operations.polar, 3), "msg-3")
    operations.redis.flushall()
    for name, dump in backup.items():
        operations.redis.restore(name, 0, dump or b"")
    operations.rules = in_force
    rebuild(operations)
    assert [line["left_to_backfill"][0][:2] for line in told_by(one)] == ["1 "]
    assert operations.balance() == 20
