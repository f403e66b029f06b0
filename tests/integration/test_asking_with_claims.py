"""A request to Polar that is taken from our share together with the claims."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.builders import grant_of, order_webhook, some_id
from tests.support.polar_orders import Operations, operations_at
from tests.support.real_stores import RETAIN, accept, now_ms, plan_of
from workers.core.claims import Claimed
from workers.core.delivery import Lease, Status
from workers.core.grants import order_subject
from workers.core.plans import Plan
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

_SHARE = 4  # requests a minute, of which two may be made at once
_INTERVAL_MS = 401  # in which a share of 300 a minute grows by one request


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, retain=RETAIN, requests_per_minute=_SHARE)


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    with operations_at(redis) as operations:
        yield operations


def claim(redis: Redis, redis_url: str, ledger: Ledger, number: int, plan: Plan | None = None) -> Claimed:
    """Lease the delivery of a new order, and claim its credit; without a plan, that of the order."""
    accept(redis_url, f"msg-{number}")
    (leased,) = DeliveryStore(redis).lease(1).deliveries
    wanted = plan or plan_of(grant_of(number))
    return ledger.claim_and_ask([(leased.id, wanted)], {leased.id: leased.attempt})


def test_each_claim_takes_one_request_until_the_share_is_used_up(
    redis: Redis, redis_url: str, ledger: Ledger
) -> None:
    assert [claim(redis, redis_url, ledger, number).may_ask for number in (1, 2, 3)] == [True, True, False]
    pause = Throttle(redis).current_pause()
    assert pause is not None
    assert pause.reason == "our share of Polar's rate limit is used up"


def test_claims_and_requests_of_their_own_share_alike(redis: Redis, redis_url: str, ledger: Ledger) -> None:
    assert Throttle(redis, requests_per_minute=_SHARE).take_request()
    assert [claim(redis, redis_url, ledger, number).may_ask for number in (1, 2)] == [True, False]


def test_a_claim_that_freezes_nothing_takes_no_request(redis: Redis, redis_url: str, ledger: Ledger) -> None:
    skipped = Plan(subject=order_subject(some_id(1)), customer_id=some_id(2), skip="no rule names it")
    assert claim(redis, redis_url, ledger, 1, skipped).may_ask is None
    assert claim(redis, redis_url, ledger, 2).may_ask is True
    taken = redis.get(keys.BUDGET)
    again = claim(redis, redis_url, ledger, 3, plan_of(grant_of(2)))
    assert again.may_ask is None
    assert redis.get(keys.BUDGET) == taken


def test_a_claim_whose_lease_was_lost_takes_no_request(redis: Redis, redis_url: str, ledger: Ledger) -> None:
    accept(redis_url, "msg-1")
    (leased,) = DeliveryStore(redis).lease(1).deliveries
    plan = plan_of(grant_of(1))
    assert ledger.claim_and_ask([(leased.id, plan)], {leased.id: leased.attempt - 1}).may_ask is None
    assert redis.get(keys.BUDGET) is None


def test_nothing_is_sent_during_a_pause_that_began_after_the_lease(operations: Operations) -> None:
    leased = operations.store.store_and_lease([("msg-1", "order.paid", order_webhook())])
    Throttle(operations.redis).pause(60, "Polar answered 503")
    (outcome,) = operations.granter.run(Lease(deliveries=leased))
    assert (outcome.status, outcome.reason) == (Status.WAITING, "not sent yet")
    assert operations.polar.events == []


def test_an_order_alone_takes_one_request(operations: Operations) -> None:
    assert operations.deliver(order_webhook()) is Status.GRANTED
    whole_at = operations.redis.get(keys.BUDGET)
    assert whole_at is not None
    assert int(whole_at) <= now_ms(operations.redis) + _INTERVAL_MS
