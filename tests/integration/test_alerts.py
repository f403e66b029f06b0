"""People are told by one worker of all, once for each trouble, and no worker suffers for it."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace
from redis import Redis
from structlog.testing import capture_logs

from tests.support.alert_receiver import Chat, chat
from tests.support.builders import grant_of
from tests.support.processes import eventually
from tests.support.real_stores import RETAIN, accept, let_pause_end, now_ms, outcome, plan_of
from tests.support.rulebooks import watch_in
from workers.core.delivery import Status
from workers.monitoring.alerter import Alerter
from workers.monitoring.alerts import AlertKind
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.losses import LOST, TO_DO, end_loss, mark_loss
from workers.store.throttle import Throttle
from workers.timings import Timings

TEN_MINUTES_MS = 600_000


@pytest.fixture
def room() -> Iterator[Chat]:
    with chat() as opened:
        yield opened


@pytest.fixture
def alerter(redis: Redis, room: Chat) -> Alerter:
    return Alerter(redis, url=room.url)


@pytest.fixture
def park(redis_url: str, store: DeliveryStore, ledger: Ledger) -> Callable[..., None]:
    """Return what lets deliveries come and fail."""

    def park_all(*ids: str, reason: str = "Customer not found") -> None:
        accept(redis_url, *ids)
        leased = store.lease(100).deliveries
        ledger.settle([], [outcome(one, Status.FAILED, reason) for one in leased])

    return park_all


def tick(alerter: Alerter) -> None:
    """Look, and wait until people have heard or cannot be told."""
    alerter.check()
    alerter.finish()


def let_mute_end(redis: Redis) -> None:
    """Let ten minutes pass since people were told."""
    redis.delete(*map(keys.muted, AlertKind))


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


@pytest.mark.parametrize("status", [301, 404, 429, 500])
def test_whoever_could_not_be_told_is_told_when_the_mute_is_over(
    redis: Redis, room: Chat, alerter: Alerter, park: Callable[..., None], *, status: int
) -> None:
    park("msg-1")
    room.status = status
    with capture_logs() as logs:
        for _ in range(3):
            tick(alerter)
    assert [(one["event"], one["reason"]) for one in logs] == [
        ("alert failed", f"CREDITS_ALERT_URL answered {status}")
    ]
    assert room.kinds == ["failed"]
    room.status = 204
    let_mute_end(redis)
    for _ in range(3):
        tick(alerter)
        let_mute_end(redis)
    assert room.kinds == ["failed", "failed"]


@pytest.mark.parametrize("status", [204, 301, 500, 0])
def test_the_url_is_never_logged(
    redis: Redis,
    room: Chat,
    park: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    *,
    status: int,
) -> None:
    """Slack's and Discord's are secrets: whoever has one can write there."""
    caplog.set_level(logging.DEBUG)
    park("msg-1")
    room.status = status
    url = room.url if status else f"http://127.0.0.1:9/services/{room.secret}"  # nobody listens there
    with capture_logs() as logs:
        tick(Alerter(redis, url=url))
    ours = [
        one.getMessage() for one in caplog.records if not one.name.startswith("uvicorn")
    ]  # the chat's own
    assert logs
    assert room.secret not in repr(logs) + repr(ours)


def test_a_url_that_hangs_keeps_no_worker_from_its_tick(
    redis: Redis, tmp_path: Path, room: Chat, alerter: Alerter, *, park: Callable[..., None]
) -> None:
    park("msg-1")
    room.answers.clear()
    worker = GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=RETAIN, on_tick=alerter.check)
    worker.tick()
    eventually(lambda: room.posted)
    let_mute_end(redis)
    for _ in range(3):
        worker.tick()
    assert room.kinds == ["failed"]


def test_a_url_that_hangs_is_given_up(redis: Redis, room: Chat, park: Callable[..., None]) -> None:
    park("msg-1")
    room.answers.clear()
    hasty = Alerter(redis, url=room.url, timings=Timings(alert_seconds=0.1))
    with capture_logs() as logs:
        hasty.check()
        (told,) = eventually(lambda: logs)
    assert told["reason"] == "CREDITS_ALERT_URL did not answer: TimeoutError"


def test_a_system_without_threads_to_spare_keeps_its_worker(
    redis: Redis, alerter: Alerter, park: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    park("msg-1")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with capture_logs() as logs:
        alerter.check()
        alerter.finish()
    assert [one["event"] for one in logs] == ["alert failed"]


def test_without_a_url_nothing_is_kept_for_it(
    redis: Redis, tmp_path: Path, park: Callable[..., None]
) -> None:
    park("msg-1")
    GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=RETAIN).tick()
    assert redis.exists(keys.ALERTS, keys.WATCH, keys.muted(AlertKind.FAILED)) == 0


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
