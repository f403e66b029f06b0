"""People are told by one worker of all, once for each trouble and once when all is well."""

import threading
from collections.abc import Callable
from typing import cast

from msgspec.structs import replace
from redis import Redis

from tests.support.alert_receiver import Chat
from tests.support.alerting import let_mute_end, tick
from tests.support.builders import grant_of
from tests.support.real_stores import accept, let_pause_end, now_ms, outcome, plan_of
from workers.core.delivery import Status
from workers.monitoring.alerter import Alerter
from workers.monitoring.alerts import AlertKind
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.losses import LOST, TO_DO, end_loss, mark_loss
from workers.store.throttle import Throttle

TEN_MINUTES_MS = 600_000


def let_waiting_be_old(redis: Redis) -> None:
    """Let ten minutes pass in which workers look and nothing comes of it."""
    long_ago = now_ms(redis) - TEN_MINUTES_MS
    redis.hset(keys.WATCH, "since", long_ago)
    for delivery_id in cast(list[bytes], redis.zrange(keys.deliveries(Status.WAITING), 0, -1)):
        redis.zadd(keys.deliveries(Status.WAITING), {delivery_id: long_ago})
    if redis.exists(keys.OUTAGE):
        redis.hset(keys.OUTAGE, "since", long_ago)


def credit_what_waits(store: DeliveryStore, ledger: Ledger) -> None:
    (leased,) = store.lease(1).deliveries
    ledger.claim([(leased.id, plan_of(grant_of(1)))])
    settled = replace(outcome(leased), relies_on=(grant_of(1).subject,))
    ledger.settle([grant_of(1)], [settled])


def test_what_is_parked_is_told_at_the_next_look_and_not_again(
    redis: Redis, room: Chat, alerter: Alerter, park: Callable[..., None]
) -> None:
    tick(alerter)
    assert room.posted == []
    park("msg-1")
    for _ in range(3):
        tick(alerter)
        let_mute_end(redis)
    (told,) = room.posted
    assert (told["kind"], told["failed"], told["reasons"]) == ("failed", 1, ["Customer not found"])
    assert room.agents == {"credit-granter"}  # some chats refuse what says that it is Python


def test_of_many_workers_that_look_at_once_one_speaks(
    redis: Redis, redis_url: str, room: Chat, park: Callable[..., None]
) -> None:
    park("msg-1")
    clients = [Redis.from_url(redis_url) for _ in range(20)]
    alerters = [Alerter(client, url=room.url) for client in clients]
    start = threading.Barrier(len(alerters))

    def check(one: Alerter) -> None:
        start.wait()
        for _ in range(5):
            tick(one)

    workers = [threading.Thread(target=check, args=(one,)) for one in alerters]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for client in clients:
        client.close()
    assert room.kinds == ["failed"]


def test_what_is_parked_in_the_ten_minutes_after_is_told_together_at_their_end(
    redis: Redis, room: Chat, alerter: Alerter, park: Callable[..., None]
) -> None:
    park("msg-1")
    tick(alerter)
    assert 0 < redis.ttl(keys.muted(AlertKind.FAILED)) <= 600
    park("msg-2", "msg-3", reason="no such meter")
    park("msg-4")
    tick(alerter)
    assert len(room.posted) == 1
    let_mute_end(redis)
    tick(alerter)
    assert room.posted[1]["text"].startswith("credit-granter: 3 deliveries failed, 4 in all")
    assert set(room.posted[1]["reasons"]) == {"Customer not found", "no such meter"}


def test_a_new_failure_is_told_though_old_ones_went_meanwhile(
    redis: Redis, store: DeliveryStore, room: Chat, alerter: Alerter, park: Callable[..., None]
) -> None:
    park("msg-1", "msg-2", "msg-3")
    tick(alerter)
    park("msg-4")
    tick(alerter)
    store.reopen(["msg-1", "msg-2"])
    tick(alerter)
    let_mute_end(redis)
    tick(alerter)
    park("msg-5")
    let_mute_end(redis)
    tick(alerter)
    assert [one["text"].split(":")[1].strip() for one in room.posted] == [
        "3 deliveries failed, 3 in all",
        "1 delivery failed, 2 in all",
        "1 delivery failed, 3 in all",
    ]


def test_a_queue_that_is_stuck_is_told_and_when_credits_flow_again(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, *, room: Chat, alerter: Alerter
) -> None:
    accept(redis_url, "msg-1")
    tick(alerter)
    let_waiting_be_old(redis)
    tick(alerter)
    tick(alerter)
    assert room.kinds == ["stuck"]
    assert room.posted[0]["oldest_waiting_seconds"] >= 600
    credit_what_waits(store, ledger)
    tick(alerter)
    tick(alerter)
    assert room.kinds == ["stuck", "well"]


def test_a_long_outage_of_polar_is_told_with_its_reason_and_its_end(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger, *, room: Chat, alerter: Alerter
) -> None:
    accept(redis_url, "msg-1")
    throttle = Throttle(redis)
    throttle.pause(60, "Polar answered 401: invalid_token")
    tick(alerter)
    let_waiting_be_old(redis)
    tick(alerter)
    tick(alerter)
    assert [(one["kind"], one["reasons"]) for one in room.posted] == [
        ("polar", ["Polar answered 401: invalid_token"])
    ]
    throttle.end_outage()
    let_pause_end(redis)
    tick(alerter)
    assert room.kinds == ["polar"]  # somebody may have switched something; credits do not flow yet
    credit_what_waits(store, ledger)
    tick(alerter)
    tick(alerter)
    assert room.kinds == ["polar", "well"]


def test_a_lost_ledger_is_told_at_once_with_what_to_do_and_when_it_is_rebuilt(
    redis: Redis, room: Chat, alerter: Alerter
) -> None:
    mark_loss(redis)
    for _ in range(3):
        tick(alerter)
        let_mute_end(redis)
    (told,) = room.posted
    assert told["kind"] == "ledger"
    assert told["text"] == f"credit-granter: {LOST}: {TO_DO}."
    end_loss(redis, None)
    tick(alerter)
    tick(alerter)
    assert room.kinds == ["ledger", "well"]


def test_a_backlog_has_its_time_when_an_outage_is_over(
    redis: Redis, redis_url: str, room: Chat, alerter: Alerter
) -> None:
    accept(redis_url, "msg-1")
    Throttle(redis).pause(60, "Polar answered 503")
    tick(alerter)
    let_waiting_be_old(redis)
    Throttle(redis).end_outage()
    tick(alerter)
    assert room.posted == []


def test_what_is_kept_of_it_is_four_numbers_and_what_expires(
    redis: Redis, alerter: Alerter, park: Callable[..., None]
) -> None:
    park("msg-1")
    tick(alerter)
    assert redis.hgetall(keys.ALERTS) == {b"failed": b"1", b"failed_ever": b"1", b"failed_reported": b"1"}
    assert 0 < redis.ttl(keys.WATCH) < 300
    assert 0 < redis.ttl(keys.muted(AlertKind.FAILED)) <= 600


def test_a_storefront_that_takes_no_credit_events_is_told_after_an_hour_and_once(
    redis: Redis, room: Chat
) -> None:
    alerter = Alerter(redis, url=room.url, tells_storefront=True)
    event, hours_ago = "credits:order:1\napi_usage", now_ms(redis) - 2 * 3_600_000
    redis.zadd(keys.OUTBOX, {event: now_ms(redis) + 60_000})
    redis.zadd(keys.OUTBOX_REFUSED, {event: hours_ago})
    redis.hset(keys.OUTBOX_ATTEMPTS, event, "9 answered 500")
    tick(alerter)
    assert room.kinds == []  # the sender may have been started just now
    redis.hset(keys.WATCH, "since", hours_ago)
    tick(alerter)
    let_mute_end(redis)
    tick(alerter)
    assert room.kinds == ["events"]
    assert "takes no credit events: answered 500; 1 credit event waiting" in room.posted[0]["text"]
    redis.zadd(keys.OUTBOX_SENT, {"another": now_ms(redis)})
    tick(alerter)
    assert room.kinds == ["events", "well"]


def test_no_credit_events_are_told_of_where_none_are_sent(redis: Redis, room: Chat, alerter: Alerter) -> None:
    redis.zadd(keys.OUTBOX, {"credits:order:1\napi_usage": 1})
    tick(alerter)
    redis.hset(keys.WATCH, "since", 1)
    tick(alerter)
    assert room.kinds == []
