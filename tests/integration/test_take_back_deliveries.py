"""What a refund takes of credits that were not at Polar yet becomes due when they are."""

import json
from typing import cast

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, some_id
from tests.support.fake_polar import FakePolar
from tests.support.fake_service import HUNDRED
from tests.support.real_stores import let_leases_end, let_pause_end, outcome
from workers.core.delivery import Lease, Leased, Status
from workers.core.delivery_plans import plan_delivery
from workers.core.grants import order_subject
from workers.core.take_back_delivery import TAKE_BACK, take_back_delivery
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

TAKING = take_back_delivery(ORDER)
PAID = ("paid", "order.paid", order_webhook())
REFUNDED = ("refunded", "order.refunded", refund_webhook(300))


@pytest.fixture
def polar() -> FakePolar:
    return FakePolar()


@pytest.fixture
def granter(redis: Redis, store: DeliveryStore, ledger: Ledger, polar: FakePolar) -> Granter:
    return Granter(
        deliveries=store, ledger=ledger, throttle=Throttle(redis), polar=polar, rules=lambda: HUNDRED
    )


def claim(store: DeliveryStore, ledger: Ledger, row: tuple[str, str, bytes]) -> Leased:
    """Store and lease a delivery, and claim its plan."""
    (leased,) = store.store_and_lease([row])
    plan = plan_delivery(leased.type, leased.body, HUNDRED).plan
    assert plan is not None
    ledger.claim([(leased.id, plan)], {leased.id: leased.attempt})
    return leased


def settle(ledger: Ledger) -> None:
    """Settle the order's credits."""
    own = ledger.find(order_subject(ORDER)).own
    assert own is not None
    ledger.settle(own.grants, [])


def test_the_settlement_of_a_refunded_order_makes_its_take_back_due(
    redis: Redis, store: DeliveryStore, ledger: Ledger
) -> None:
    claim(store, ledger, PAID)
    claim(store, ledger, REFUNDED)
    assert store.get([TAKING]) == []
    settle(ledger)
    (kept,) = store.get([TAKING])
    assert (kept.type, kept.status, kept.attempts, kept.reason) == (TAKE_BACK, Status.WAITING, 0, "")
    (leased,) = store.lease(10).deliveries
    assert (leased.id, leased.type, leased.attempt) == (TAKING, TAKE_BACK, 1)
    assert json.loads(leased.body) == {
        "type": TAKE_BACK,
        "data": {"order_id": ORDER, "customer_id": CUSTOMER},
    }
    assert b"strikes" in cast(list[bytes], redis.hkeys(keys.delivery(TAKING)))


def test_an_order_that_was_not_refunded_has_none(store: DeliveryStore, ledger: Ledger) -> None:
    claim(store, ledger, PAID)
    settle(ledger)
    assert store.get([TAKING]) == []


def test_a_worker_that_looked_before_the_settlement_cannot_conclude_the_take_back(
    redis: Redis, store: DeliveryStore, ledger: Ledger
) -> None:
    claim(store, ledger, PAID)
    claim(store, ledger, REFUNDED)
    settle(ledger)
    (early,) = store.lease(10).deliveries
    redis.hdel(order_subject(ORDER), "settled:api_usage")  # as in a Redis that lost its newest data
    settle(ledger)
    assert ledger.settle([], [outcome(early, Status.SKIPPED, "not at Polar yet")]) == {TAKING}
    (again,) = store.lease(10).deliveries
    assert (again.id, again.attempt) == (TAKING, early.attempt + 2)


@pytest.mark.parametrize("status", [Status.GRANTED, Status.SKIPPED, Status.FAILED])
def test_a_take_back_that_was_settled_before_is_due_again(
    redis: Redis, store: DeliveryStore, ledger: Ledger, status: Status
) -> None:
    claim(store, ledger, PAID)
    claim(store, ledger, REFUNDED)
    settle(ledger)
    (early,) = store.lease(10).deliveries
    ledger.settle([], [outcome(early, status, "x" * 100)])
    redis.hdel(order_subject(ORDER), "settled:api_usage")
    settle(ledger)
    assert list(store.newest([status])) == []
    kept = next(iter(store.newest([Status.WAITING])))
    assert (kept.id, kept.reason, kept.settled_at) == (TAKING, "", None)
    assert (early.attempt, kept.leases) == (1, ())  # it lives anew
    assert redis.ttl(keys.delivery(TAKING)) == redis.ttl(keys.body(TAKING)) == -1
    assert store.lease(10).deliveries[0].attempt == early.attempt + 2


def test_no_take_back_reaches_polar_while_its_grant_meets_500s(
    redis: Redis, store: DeliveryStore, granter: Granter, polar: FakePolar
) -> None:
    """As a customer with 500 refunded credits once went to -50."""
    polar.breaks_at = lambda event: event["external_id"] == f"credits:order:{ORDER}:api_usage"
    store.store_and_lease([PAID, REFUNDED])
    for number in range(12):
        other = order_webhook(id=some_id(number), customer_id=some_id(number))
        let_pause_end(redis)
        store.store_and_lease([(f"other-{number}", "order.paid", other)])
        let_leases_end(redis)
        granter.run(store.lease(500))
    paid, refunded = store.get(["paid", "refunded"])
    assert (paid.status, refunded.status) == (Status.FAILED, Status.SKIPPED)
    assert polar.balance(CUSTOMER) == 0
    polar.breaks_at = lambda _event: False
    let_pause_end(redis)
    granter.run(Lease(deliveries=store.reopen(["paid"])))
    granter.run(store.lease(500))
    assert store.get([TAKING])[0].reason == "took back 30 api_usage"
    assert polar.balance(CUSTOMER) == 70
