"""Renewals, final invoices and trials that a backfill reads, however their subscription has changed since."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from tests.support.builders import rule, rules_of, some_id
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.recordings import payload
from workers.core.delivery import Status

RENEWAL, TRIAL = "order_paid_subscription_cycle", "order_paid_trial_start_zero"
PACK = rule("pack", {"api_usage": 10})


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with operations_at(redis) as opened:
        yield opened


def test_a_renewal_of_a_subscription_that_has_ended_since_is_still_a_renewal(operations: Operations) -> None:
    ended = subscription_of(RENEWAL, ended_at=datetime.now(UTC))
    sell(operations.polar, 1, RENEWAL, subscription=ended)
    sell(operations.polar, 2, RENEWAL, subscription=ended, days_ago=-1 / 86_400)  # its final invoice
    backlog = operations.find_missing(until=datetime.now(UTC) + timedelta(days=1))
    assert list(backlog.scan.missing) == [some_id(1)]
    assert dict(backlog.scan.skipped) == {"final invoice of an ended subscription: never credited": 1}


def subscription_of(name: str, **changed: datetime | None) -> dict[str, Any]:
    """Return the subscription of a recorded order, with some dates changed."""
    sent: dict[str, Any] = json.loads(payload(name))["data"]["subscription"]
    return sent | {key: at and at.isoformat() for key, at in changed.items()}


def test_a_final_invoice_stays_one_when_its_subscription_is_reinstated(operations: Operations) -> None:
    ended = subscription_of(RENEWAL, ended_at=datetime.now(UTC) - timedelta(days=2))
    assert operations.deliver(sell(operations.polar, 1, RENEWAL, subscription=ended)) is Status.SKIPPED
    reinstated = subscription_of(RENEWAL, ended_at=None)
    body = sell(operations.polar, 1, RENEWAL, subscription=reinstated)
    scan = operations.find_missing().scan
    assert (scan.missing, sum(scan.skipped.values())) == ({}, 1)
    assert operations.deliver(body, "msg-2") is Status.SKIPPED  # sent again by Polar's support
    assert "final invoice" in operations.store.get(["msg-2"])[0].reason
    assert operations.balance() == 0


def test_a_trials_start_stays_one_when_its_subscription_gets_another_trial(operations: Operations) -> None:
    now = datetime.now(UTC)
    first = subscription_of(TRIAL, trial_start=now - timedelta(days=7), trial_end=now - timedelta(days=3))
    body = sell(operations.polar, 1, TRIAL, subscription=first, days_ago=6)
    assert operations.deliver(body) is Status.SKIPPED
    again = subscription_of(TRIAL, trial_start=now - timedelta(days=1), trial_end=now + timedelta(days=3))
    body = sell(operations.polar, 1, TRIAL, subscription=again, days_ago=6)
    assert operations.backfill() == []
    assert operations.deliver(body, "msg-2") is Status.SKIPPED
    operations.rules = rules_of(rule("trial", {"api_usage": 3}, triggers=["trial_start"]), PACK)
    assert [one.prospect.text for one in operations.find_missing().scan.missing.values()] == [
        "grant 3 api_usage"
    ]
    assert [one.status for one in operations.backfill()] == [Status.GRANTED]
    assert operations.balance() == 3


def test_a_bonus_of_a_trials_start_that_the_customer_has_is_not_missing(operations: Operations) -> None:
    now = datetime.now(UTC)
    bonus = rule("bonus", {"api_usage": 5}, once_per="customer", triggers=["trial_start", "purchase"])
    operations.rules = rules_of(bonus)
    operations.deliver(sell(operations.polar, 2), "msg-0")
    first = subscription_of(TRIAL, trial_start=now - timedelta(days=7), trial_end=now - timedelta(days=3))
    operations.deliver(sell(operations.polar, 1, TRIAL, subscription=first, days_ago=6))
    sell(operations.polar, 1, TRIAL, subscription=subscription_of(TRIAL, trial_start=now), days_ago=6)
    assert operations.find_missing().is_empty
