"""Orders that a backfill leaves to deliveries or to people: waiting, claimed, failed, skipped, dismissed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from tests.support.builders import refund_webhook, rule, rules_of, some_id
from tests.support.fake_service import HUNDRED, NOBODY, TEN
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.real_stores import accept
from workers.core.delivery import Status
from workers.store import keys

STRANGER = some_id(999)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAILING = rules_of(rule("pack", {"api_usage": "int(order.metadata.credits)"}))


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with operations_at(redis) as opened:
        yield opened


def test_an_order_whose_webhook_waits_is_left_to_it(operations: Operations, redis_url: str) -> None:
    body = sell(operations.polar, 1)
    sell(operations.polar, 2)
    accept(redis_url, "msg-1", body=body)
    accept(redis_url, "msg-2", body=b'{"type": "order.paid", "data": null}')  # waits, and tells of nothing
    backlog = operations.find_missing()
    assert (list(backlog.scan.missing), backlog.waiting) == ([some_id(2)], 1)


def test_what_polar_has_refused_before_is_left_to_who_looks_into_it(operations: Operations) -> None:
    sell(operations.polar, 1, customer_id=STRANGER)
    assert [one.status for one in operations.backfill()] == [Status.FAILED]
    backlog = operations.find_missing()
    assert backlog.is_empty
    assert backlog.claimed_elsewhere == 1


def test_what_another_delivery_has_claimed_is_left_to_it(operations: Operations) -> None:
    body = sell(operations.polar, 1, customer_id=STRANGER)
    assert operations.deliver(body) is Status.FAILED
    backlog = operations.find_missing()
    assert (backlog.claimed_elsewhere, backlog.interrupted, backlog.is_empty) == (1, (), True)


def test_an_order_that_cannot_be_worked_out_is_named_until_its_delivery_has_failed(
    operations: Operations,
) -> None:
    operations.rules = FAILING
    body = sell(operations.polar, 1)
    (failing,) = operations.find_missing().scan.failing
    assert failing.order_id == some_id(1)
    assert operations.deliver(body) is Status.FAILED
    backlog = operations.find_missing()
    assert (backlog.is_empty, backlog.scan.already_failed) == (True, 1)


def test_what_was_dismissed_stays_dismissed(operations: Operations) -> None:
    operations.rules = FAILING
    assert operations.deliver(sell(operations.polar, 1)) is Status.FAILED
    operations.store.dismiss(["msg-1"], retain=timedelta(days=1))
    assert operations.store.get(["msg-1"])[0].is_dismissed
    for operations.rules in (FAILING, TEN):
        backlog = operations.find_missing()
        assert (backlog.is_empty, backlog.scan.dismissed) == (True, 1)


@pytest.mark.parametrize("is_kept", [True, False], ids=["delivery kept", "delivery expired"])
def test_an_order_that_polar_refused_stays_dismissed(operations: Operations, *, is_kept: bool) -> None:
    stranger = some_id(77)
    assert operations.deliver(sell(operations.polar, 1, customer_id=stranger)) is Status.FAILED
    operations.store.dismiss(["msg-1"], retain=timedelta(days=1))
    operations.polar.add_customer(stranger)
    if not is_kept:
        operations.redis.delete(keys.delivery("msg-1"), keys.body("msg-1"))
    backlog = operations.find_missing()
    assert (backlog.is_empty, backlog.scan.dismissed, backlog.claimed_elsewhere) == (True, 1, 0)
    assert operations.deliver(sell(operations.polar, 1, customer_id=stranger), "msg-2") is Status.SKIPPED


def test_a_bonus_is_not_promised_to_an_order_that_is_left_out(operations: Operations) -> None:
    operations.rules = NOBODY
    assert operations.deliver(sell(operations.polar, 1, days_ago=5)) is Status.SKIPPED
    operations.rules = rules_of(rule("first", {"api_usage": 50}, once_per="customer"))
    sell(operations.polar, 2, days_ago=2)
    assert list(operations.find_missing(by_itself_from=LONG_AGO).scan.missing) == [some_id(2)]
    operations.backfill(by_itself_from=LONG_AGO)
    assert operations.balance() == 50


def test_what_mended_rules_credit_is_missing_only_where_a_person_decides(operations: Operations) -> None:
    operations.rules = NOBODY
    assert operations.deliver(sell(operations.polar, 1)) is Status.SKIPPED
    operations.rules = TEN
    backlog = operations.find_missing(by_itself_from=LONG_AGO)
    assert (backlog.is_empty, backlog.scan.left) == (True, 1)
    assert operations.find_missing().scan.missing[some_id(1)].was_skipped
    assert [one.status for one in operations.backfill()] == [Status.GRANTED]


def test_a_refund_alone_does_not_keep_its_order_from_credit(operations: Operations) -> None:
    operations.rules = HUNDRED
    sell(operations.polar, 1, refunded_amount=300, status="partially_refunded")
    assert operations.deliver(refund_webhook(300, id=some_id(1))) is Status.SKIPPED
    outcomes = [(one.status, one.reason) for one in operations.backfill(by_itself_from=LONG_AGO)]
    assert outcomes == [(Status.GRANTED, "100 api_usage"), (Status.GRANTED, "took back 30 api_usage")]
    assert operations.balance() == 70
