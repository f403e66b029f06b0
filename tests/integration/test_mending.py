"""Webhooks that never came, on a real Redis and a Polar without sockets: found, and granted once."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from app.demo.polar import RateLimited
from tests.support.builders import refund_webhook, rule, rules_of, some_id
from tests.support.fake_service import HUNDRED, NOBODY, TEN
from tests.support.fakes import KilledError
from tests.support.ledgers import rebuild
from tests.support.polar_orders import Mending, mending_at, sell
from tests.support.real_stores import accept, let_leases_end, let_pause_end
from tests.support.recordings import payload
from workers.core.delivery import Status
from workers.core.grants import order_subject
from workers.errors import PolarDeniedError, PolarUnreachableError
from workers.operations.backfill.review import Left, delivery_id_of
from workers.pipeline.granter import MOST_DELIVERIES

STRANGER = some_id(999)
FAILING = rules_of(rule("pack", {"api_usage": "int(order.metadata.credits)"}))


@pytest.fixture
def mending(redis: Redis) -> Iterator[Mending]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with mending_at(redis) as opened:
        yield opened


def test_a_few_hundred_orders_are_read_page_by_page_and_granted_oldest_first(mending: Mending) -> None:
    count = MOST_DELIVERIES + 10
    for number in range(1, count + 1):
        sell(mending.polar, number, days_ago=number / 100)
    told: list[tuple[int, int]] = []
    backlog = mending.look(tell=lambda read, total: told.append((read, total)))
    assert told == [(min(read, count), count) for read in range(100, count + 100, 100)]
    batches = list(mending.backfiller.grant(backlog, mending.granter))
    assert [len(batch) for batch in batches] == [MOST_DELIVERIES, 10]
    assert batches[1][-1].order_id == some_id(1)  # the newest
    assert mending.balance() == 10 * count
    assert mending.look().review.granted == count


def test_a_bonus_that_was_read_back_without_its_orders_credits_is_named_and_left(mending: Mending) -> None:
    """Bonuses are sent first: the rest was in the next request, or the rules gave nothing else then."""
    mending.rules = rules_of(
        rule("pack", {"api_usage": 10}), rule("bonus", {"seconds": 5}, once_per="customer")
    )
    mending.deliver(sell(mending.polar, 1))
    mending.polar.stored = [one for one in mending.polar.stored if one.sent["name"] == "seconds"]
    mending.redis.flushall()
    rebuild(mending)
    review = mending.look().review
    assert (review.granted, review.missing) == (1, {})
    why = "Polar has 5 seconds; today's rules also give 10 api_usage"
    assert review.partial == [Left(order_id=some_id(1), why=why)]


def test_what_a_killed_backfill_has_begun_the_next_one_finishes(mending: Mending) -> None:
    sell(mending.polar, 1)
    sell(mending.polar, 2)
    with pytest.raises(KilledError):
        mending.backfill_but_die_before_settling()
    assert mending.balance() == 20  # Polar had taken them
    backlog = mending.look()
    assert (set(backlog.begun), backlog.review.missing, backlog.claimed) == (
        {delivery_id_of(some_id(1)), delivery_id_of(some_id(2))},
        {},
        0,
    )
    assert {one.status for one in mending.backfill()} == {Status.GRANTED}
    assert mending.balance() == 20
    assert mending.look().is_empty


def test_what_a_killed_backfill_has_begun_a_worker_finishes_once_its_lease_ends(mending: Mending) -> None:
    sell(mending.polar, 1)
    with pytest.raises(KilledError):
        mending.backfill_but_die_before_settling()
    let_leases_end(mending.redis)
    (outcome,) = mending.granter.run(mending.store.lease(10))
    assert outcome.status is Status.GRANTED
    assert mending.balance() == 10


def test_a_webhook_that_comes_while_the_orders_are_read_credits_nothing_twice(mending: Mending) -> None:
    body = sell(mending.polar, 1)
    backlog = mending.look()
    assert mending.deliver(body) is Status.GRANTED
    (outcome,) = next(mending.backfiller.grant(backlog, mending.granter))
    assert outcome.status is Status.SKIPPED
    assert outcome.reason.startswith("already granted")
    assert mending.balance() == 10


def test_a_webhook_that_comes_after_all_credits_nothing_more(mending: Mending) -> None:
    body = sell(mending.polar, 1)
    mending.backfill()
    assert mending.deliver(body) is Status.SKIPPED
    assert mending.balance() == 10


def test_an_order_whose_webhook_waits_is_left_to_it(mending: Mending, redis_url: str) -> None:
    body = sell(mending.polar, 1)
    sell(mending.polar, 2)
    accept(redis_url, "msg-1", body=body)
    accept(redis_url, "msg-2", body=b'{"type": "order.paid", "data": null}')  # waits, and tells of nothing
    backlog = mending.look()
    assert (list(backlog.review.missing), backlog.waiting) == ([some_id(2)], 1)


def test_what_polar_has_refused_before_is_left_to_who_looks_into_it(mending: Mending) -> None:
    sell(mending.polar, 1, customer_id=STRANGER)
    assert [one.status for one in mending.backfill()] == [Status.FAILED]
    backlog = mending.look()
    assert backlog.is_empty
    assert backlog.claimed == 1


def test_what_another_delivery_has_claimed_is_left_to_it(mending: Mending) -> None:
    body = sell(mending.polar, 1, customer_id=STRANGER)
    assert mending.deliver(body) is Status.FAILED
    backlog = mending.look()
    assert (backlog.claimed, backlog.begun, backlog.is_empty) == (1, (), True)


def test_an_order_that_cannot_be_worked_out_is_named_until_its_delivery_has_failed(mending: Mending) -> None:
    mending.rules = FAILING
    body = sell(mending.polar, 1)
    (failing,) = mending.look().review.failing
    assert failing.order_id == some_id(1)
    assert mending.deliver(body) is Status.FAILED
    backlog = mending.look()
    assert (backlog.is_empty, backlog.parked) == (True, 1)


def test_what_was_dismissed_stays_dismissed(mending: Mending) -> None:
    mending.rules = FAILING
    assert mending.deliver(sell(mending.polar, 1)) is Status.FAILED
    mending.store.dismiss(["msg-1"], retain=timedelta(days=1))
    assert mending.store.get(["msg-1"])[0].is_dismissed
    assert mending.look().parked == 1
    mending.rules = TEN
    backlog = mending.look()
    assert (backlog.is_empty, backlog.settled) == (True, 1)


def test_what_mended_rules_credit_is_missing_unless_only_what_never_came_is_asked_for(
    mending: Mending,
) -> None:
    mending.rules = NOBODY
    assert mending.deliver(sell(mending.polar, 1)) is Status.SKIPPED
    mending.rules = TEN
    backlog = mending.look(only_untold=True)
    assert (backlog.is_empty, backlog.settled) == (True, 1)
    assert [one.status for one in mending.backfill()] == [Status.GRANTED]


def test_a_refund_alone_does_not_keep_its_order_from_credit(mending: Mending) -> None:
    mending.rules = HUNDRED
    sell(mending.polar, 1, refunded_amount=300, status="partially_refunded")
    assert mending.deliver(refund_webhook(300, id=some_id(1))) is Status.SKIPPED
    assert [one.status for one in mending.backfill(only_untold=True)] == [Status.GRANTED]
    assert mending.balance() == 70


def test_an_outage_ends_it_and_what_was_not_begun_is_left_as_it_was(mending: Mending) -> None:
    for number in range(1, MOST_DELIVERIES + 2):
        sell(mending.polar, number)
    backlog = mending.look()
    mending.polar.scopes -= {"events:write"}
    with pytest.raises(PolarUnreachableError, match="Polar takes nothing now"):
        list(mending.backfiller.grant(backlog, mending.granter))
    left = [delivery_id_of(some_id(n)) for n in range(1, MOST_DELIVERIES + 2)]
    assert len(mending.store.get(left)) == MOST_DELIVERIES
    mending.polar.scopes |= {"events:write"}
    let_pause_end(mending.redis)
    assert {one.status for one in mending.backfill()} == {Status.GRANTED}
    assert mending.balance() == 10 * (MOST_DELIVERIES + 1)


def test_a_rate_limit_in_the_midst_is_sat_out_and_the_batch_goes_on(mending: Mending) -> None:
    sell(mending.polar, 1)
    backlog = mending.look()
    mending.polar.faults.append(RateLimited(retry_after=60))
    batches = list(mending.backfiller.grant(backlog, mending.granter))
    assert [one.status for batch in batches for one in batch] == [Status.GRANTED]
    assert [round(seconds) for seconds in mending.slept] == [60]
    assert mending.balance() == 10


def test_since_counts_the_three_weeks_in_which_an_order_may_be_paid_and_until_ends_it(
    mending: Mending,
) -> None:
    for number, days_ago in enumerate((29, 27, 3, 1), 1):
        sell(mending.polar, number, days_ago=days_ago)
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    assert list(mending.look().review.missing) == [some_id(2), some_id(3), some_id(4)]
    assert list(mending.look(until=two_days_ago).review.missing) == [some_id(2), some_id(3)]


def test_a_renewal_of_a_subscription_that_has_ended_since_is_still_a_renewal(mending: Mending) -> None:
    renewal = "order_paid_subscription_cycle"
    now = datetime.now(UTC).isoformat()
    ended = json.loads(payload(renewal))["data"]["subscription"] | {"status": "canceled", "ended_at": now}
    sell(mending.polar, 1, renewal, subscription=ended)
    sell(mending.polar, 2, renewal, subscription=ended, days_ago=-1 / 86_400)  # its final invoice
    backlog = mending.look(until=datetime.now(UTC) + timedelta(days=1))
    assert list(backlog.review.missing) == [some_id(1)]
    assert dict(backlog.review.skipped) == {"final invoice of an ended subscription: never credited": 1}


def test_a_scope_that_is_not_given_is_named(mending: Mending) -> None:
    mending.polar.scopes = frozenset()
    with pytest.raises(PolarDeniedError, match="orders:read"):
        mending.look()
    with pytest.raises(PolarDeniedError, match="webhooks:read"):
        mending.recoverer.search(since=datetime.now(UTC), until=datetime.now(UTC))


def lose(mending: Mending, number: int, body: bytes) -> str:
    """Let Polar fail to deliver a webhook twice; return its id."""
    for _ in range(2):
        mending.polar.add_delivery(some_id(number), body)
    return some_id(number)


def test_what_polar_failed_to_deliver_is_stored_by_its_own_id_and_runs_as_if_it_had_come(
    mending: Mending,
) -> None:
    mending.rules = rules_of(
        rule("pack", {"api_usage": 10}, triggers=["purchase"]),
        rule("welcome", {"api_usage": 5}, triggers=["customer.created"]),
        rule("period", {"api_usage": 3}, triggers=["subscription.cycled"]),
    )
    bodies = [payload(name) for name in ("customer_created", "order_paid_purchase", "subscription_cycled")]
    for body in bodies:
        data = json.loads(body)["data"]
        mending.polar.add_customer(data["customer_id"] if "customer_id" in data else data["id"])
    ids = [lose(mending, number, body) for number, body in enumerate(bodies, 1)]
    lose(mending, 4, payload("customer_updated"))
    now = datetime.now(UTC)
    found = mending.recoverer.search(since=now - timedelta(days=1), until=now + timedelta(days=1))
    assert set(found.lost) == set(ids)
    assert mending.recoverer.prospects(found.oldest_first, mending.rules) == {
        ids[0]: "grant 5 api_usage",
        ids[1]: "grant 10 api_usage",
        ids[2]: "grant 3 api_usage",
    }
    assert mending.store.get(ids) == []
    (outcomes,) = mending.recoverer.recover(found.oldest_first, mending.granter)
    assert {one.delivery_id: one.status for one in outcomes} == dict.fromkeys(ids, Status.GRANTED)
    assert [mending.store.body(one) for one in ids] == bodies
    found = mending.recoverer.search(since=now - timedelta(days=1), until=now + timedelta(days=1))
    assert found.lost == {}


def test_what_polar_delivers_meanwhile_is_left_to_the_workers(mending: Mending, redis_url: str) -> None:
    body = sell(mending.polar, 1)
    lost = lose(mending, 1, body)
    now = datetime.now(UTC)
    found = mending.recoverer.search(since=now - timedelta(days=1), until=now + timedelta(days=1))
    accept(redis_url, lost, body=body)
    assert [
        one for batch in mending.recoverer.recover(found.oldest_first, mending.granter) for one in batch
    ] == []
    assert [one.id for one in mending.store.lease(10).deliveries] == [lost]


def test_a_refund_that_was_lost_takes_its_share_back(mending: Mending) -> None:
    mending.rules = HUNDRED
    mending.deliver(sell(mending.polar, 1))
    lose(mending, 2, refund_webhook(500, id=some_id(1)))
    now = datetime.now(UTC)
    found = mending.recoverer.search(since=now - timedelta(days=1), until=now + timedelta(days=1))
    list(mending.recoverer.recover(found.oldest_first, mending.granter))
    assert mending.balance() == 50
    assert mending.ledger.find(order_subject(some_id(1))).taken
