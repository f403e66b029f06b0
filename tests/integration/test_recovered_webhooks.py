"""Webhooks that Polar failed to deliver are found, stored by their own ids, and run as if they had come."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from tests.support.builders import refund_webhook, rule, rules_of, some_id
from tests.support.fake_service import HUNDRED
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.real_stores import accept
from tests.support.recordings import payload
from workers.core.delivery import Status
from workers.core.grants import order_subject


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with operations_at(redis) as opened:
        yield opened


def test_attempts_of_one_moment_are_all_found(operations: Operations) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    for number in range(1, 151):
        operations.polar.add_delivery(some_id(number), sell(operations.polar, number), created_at=at)
    assert len(operations.recover()) == 150
    assert operations.balance() == 1500


def lose(operations: Operations, number: int, body: bytes) -> str:
    """Let Polar fail to deliver a webhook twice; return its id."""
    for _ in range(2):
        operations.polar.add_delivery(some_id(number), body)
    return some_id(number)


def test_what_polar_failed_to_deliver_is_stored_by_its_own_id_and_runs_as_if_it_had_come(
    operations: Operations,
) -> None:
    operations.rules = rules_of(
        rule("pack", {"api_usage": 10}, triggers=["purchase"]),
        rule("welcome", {"api_usage": 5}, triggers=["customer.created"]),
        rule("period", {"api_usage": 3}, triggers=["subscription.cycled"]),
    )
    bodies = [payload(name) for name in ("customer_created", "order_paid_purchase", "subscription_cycled")]
    for body in bodies:
        data = json.loads(body)["data"]
        operations.polar.add_customer(data["customer_id"] if "customer_id" in data else data["id"])
    ids = [lose(operations, number, body) for number, body in enumerate(bodies, 1)]
    lose(operations, 4, payload("customer_updated"))
    now = datetime.now(UTC)
    found = operations.recoverer.find_lost(since=now - timedelta(days=1), until=now + timedelta(days=1))
    assert set(found.lost) == set(ids)
    previews = operations.recoverer.preview(found.oldest_first, operations.rules)
    assert {one.id: one.prospect.text for one in previews} == {
        ids[0]: "grant 5 api_usage",
        ids[1]: "grant 10 api_usage",
        ids[2]: "grant 3 api_usage",
    }
    assert operations.store.get(ids) == []
    (outcomes,) = operations.recoverer.recover(found.oldest_first, operations.granter)
    assert {one.delivery_id: one.status for one in outcomes} == dict.fromkeys(ids, Status.GRANTED)
    assert [operations.store.body(one) for one in ids] == bodies
    found = operations.recoverer.find_lost(since=now - timedelta(days=1), until=now + timedelta(days=1))
    assert found.lost == {}


def test_what_polar_delivers_meanwhile_is_left_to_the_workers(operations: Operations, redis_url: str) -> None:
    body = sell(operations.polar, 1)
    lost = lose(operations, 1, body)
    now = datetime.now(UTC)
    found = operations.recoverer.find_lost(since=now - timedelta(days=1), until=now + timedelta(days=1))
    accept(redis_url, lost, body=body)
    assert [
        one for batch in operations.recoverer.recover(found.oldest_first, operations.granter) for one in batch
    ] == []
    assert [one.id for one in operations.store.lease(10).deliveries] == [lost]


def test_a_refund_that_was_lost_takes_its_share_back(operations: Operations) -> None:
    operations.rules = HUNDRED
    operations.deliver(sell(operations.polar, 1))
    lose(operations, 2, refund_webhook(500, id=some_id(1)))
    now = datetime.now(UTC)
    found = operations.recoverer.find_lost(since=now - timedelta(days=1), until=now + timedelta(days=1))
    list(operations.recoverer.recover(found.oldest_first, operations.granter))
    assert operations.balance() == 50
    assert operations.ledger.find(order_subject(some_id(1))).taken
