"""Webhooks that never came, on a real Redis and a Polar without sockets: found, and granted once."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from app.demo.polar import RateLimited
from tests.support.builders import refund_webhook, rule, rules_of, some_id
from tests.support.fake_service import HUNDRED, NOBODY, TEN
from tests.support.killed import KilledError
from tests.support.ledgers import rebuild
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.real_stores import accept, let_leases_end, let_pause_end
from tests.support.recordings import payload
from workers.core.delivery import Status
from workers.core.grants import order_subject
from workers.errors import PolarDeniedError, PolarUnreachableError
from workers.operations.backfill.scanned_orders import OrderProblem, delivery_id_of
from workers.store import keys
from workers.timings import DEFAULT_TIMINGS

RENEWAL, TRIAL = "order_paid_subscription_cycle", "order_paid_trial_start_zero"
PACK = rule("pack", {"api_usage": 10})
STRANGER = some_id(999)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAILING = rules_of(rule("pack", {"api_usage": "int(order.metadata.credits)"}))


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with operations_at(redis) as opened:
        yield opened


def test_a_few_hundred_orders_are_read_page_by_page_and_granted_oldest_first(operations: Operations) -> None:
    count = DEFAULT_TIMINGS.deliveries_per_lease + 10
    for number in range(1, count + 1):
        sell(operations.polar, number, days_ago=number / 100)
    told: list[tuple[int, int]] = []
    backlog = operations.find_missing(on_progress=lambda read, total: told.append((read, total)))
    assert told == [(min(read, count), count) for read in range(100, count + 100, 100)]
    batches = list(operations.backfiller.grant(backlog, operations.granter))
    assert [len(batch) for batch in batches] == [DEFAULT_TIMINGS.deliveries_per_lease, 10]
    assert batches[1][-1].order_id == some_id(1)  # the newest
    assert operations.balance() == 10 * count
    assert operations.find_missing().scan.granted == count


def test_orders_of_one_moment_are_all_found(operations: Operations) -> None:
    """Polar sorts by that alone, so its pages over them repeat some and miss others."""
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    for number in range(1, 151):
        sell(operations.polar, number, created_at=at)
    assert operations.find_missing().scan.read == 150
    assert {one.status for one in operations.backfill()} == {Status.GRANTED}
    assert operations.balance() == 1500


def test_orders_that_polar_counts_and_does_not_list_are_counted_and_dated(operations: Operations) -> None:
    order = json.loads(sell(operations.polar, 1))["data"]
    operations.polar.orders["listed twice"] = operations.polar.orders[some_id(1)]  # and another not at all
    backlog = operations.find_missing()
    assert (backlog.not_listed, backlog.is_empty, list(backlog.scan.missing)) == (1, False, [some_id(1)])
    first, last = min(backlog.not_listed_around), max(backlog.not_listed_around)
    assert first <= datetime.fromisoformat(order["created_at"]) <= last


def test_attempts_of_one_moment_are_all_found(operations: Operations) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    for number in range(1, 151):
        operations.polar.add_delivery(some_id(number), sell(operations.polar, number), created_at=at)
    assert len(operations.recover()) == 150
    assert operations.balance() == 1500


def test_a_bonus_that_was_read_back_without_its_orders_credits_is_named_and_left(
    operations: Operations,
) -> None:
    """Bonuses are sent first: the rest was in the next request, or the rules gave nothing else then."""
    operations.rules = rules_of(
        rule("pack", {"api_usage": 10}), rule("bonus", {"seconds": 5}, once_per="customer")
    )
    operations.deliver(sell(operations.polar, 1))
    operations.polar.stored = [one for one in operations.polar.stored if one.sent["name"] == "seconds"]
    operations.redis.flushall()
    rebuild(operations)
    scan = operations.find_missing().scan
    assert (scan.granted, scan.missing) == (1, {})
    why = "Polar has 5 seconds; today's rules also give 10 api_usage"
    assert list(scan.partial) == [OrderProblem(order_id=some_id(1), reason=why)]


def test_what_a_killed_backfill_has_begun_the_next_one_finishes(operations: Operations) -> None:
    sell(operations.polar, 1)
    sell(operations.polar, 2)
    with pytest.raises(KilledError):
        operations.backfill_but_die_before_settling()
    assert operations.balance() == 20  # Polar had taken them
    backlog = operations.find_missing()
    assert (set(backlog.interrupted), backlog.scan.missing, backlog.claimed_elsewhere) == (
        {delivery_id_of(some_id(1)), delivery_id_of(some_id(2))},
        {},
        0,
    )
    assert {one.status for one in operations.backfill()} == {Status.GRANTED}
    assert operations.balance() == 20
    assert operations.find_missing().is_empty


def test_what_a_killed_backfill_has_begun_a_worker_finishes_once_its_lease_ends(
    operations: Operations,
) -> None:
    sell(operations.polar, 1)
    with pytest.raises(KilledError):
        operations.backfill_but_die_before_settling()
    let_leases_end(operations.redis)
    (outcome,) = operations.granter.run(operations.store.lease(10))
    assert outcome.status is Status.GRANTED
    assert operations.balance() == 10


def test_a_webhook_that_comes_while_the_orders_are_read_credits_nothing_twice(operations: Operations) -> None:
    body = sell(operations.polar, 1)
    backlog = operations.find_missing()
    assert operations.deliver(body) is Status.GRANTED
    (outcome,) = next(operations.backfiller.grant(backlog, operations.granter))
    assert outcome.status is Status.SKIPPED
    assert outcome.reason.startswith("already granted")
    assert operations.balance() == 10


def test_a_webhook_that_comes_after_all_credits_nothing_more(operations: Operations) -> None:
    body = sell(operations.polar, 1)
    operations.backfill()
    assert operations.deliver(body) is Status.SKIPPED
    assert operations.balance() == 10


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


def test_an_outage_ends_it_and_what_was_not_begun_is_left_as_it_was(operations: Operations) -> None:
    for number in range(1, DEFAULT_TIMINGS.deliveries_per_lease + 2):
        sell(operations.polar, number)
    backlog = operations.find_missing()
    operations.polar.scopes -= {"events:write"}
    with pytest.raises(PolarUnreachableError, match="Polar accepts nothing at the moment"):
        list(operations.backfiller.grant(backlog, operations.granter))
    left = [delivery_id_of(some_id(n)) for n in range(1, DEFAULT_TIMINGS.deliveries_per_lease + 2)]
    assert len(operations.store.get(left)) == DEFAULT_TIMINGS.deliveries_per_lease
    operations.polar.scopes |= {"events:write"}
    let_pause_end(operations.redis)
    assert {one.status for one in operations.backfill()} == {Status.GRANTED}
    assert operations.balance() == 10 * (DEFAULT_TIMINGS.deliveries_per_lease + 1)


def test_a_rate_limit_in_the_midst_is_sat_out_and_the_batch_goes_on(operations: Operations) -> None:
    sell(operations.polar, 1)
    backlog = operations.find_missing()
    operations.polar.faults.append(RateLimited(retry_after=60))
    batches = list(operations.backfiller.grant(backlog, operations.granter))
    assert [one.status for batch in batches for one in batch] == [Status.GRANTED]
    assert [round(seconds) for seconds in operations.slept] == [60]
    assert operations.balance() == 10


def test_since_counts_the_three_weeks_in_which_an_order_may_be_paid_and_until_ends_it(
    operations: Operations,
) -> None:
    for number, days_ago in enumerate((29, 27, 3, 1), 1):
        sell(operations.polar, number, days_ago=days_ago)
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    assert list(operations.find_missing().scan.missing) == [some_id(2), some_id(3), some_id(4)]
    assert list(operations.find_missing(until=two_days_ago).scan.missing) == [some_id(2), some_id(3)]


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


def test_a_scope_that_is_not_given_is_named(operations: Operations) -> None:
    operations.polar.scopes = frozenset()
    with pytest.raises(PolarDeniedError, match="orders:read"):
        operations.find_missing()
    with pytest.raises(PolarDeniedError, match="webhooks:read"):
        operations.recoverer.find_lost(since=datetime.now(UTC), until=datetime.now(UTC))


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
