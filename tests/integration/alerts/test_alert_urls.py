"""A URL that fails, hangs or is missing harms no worker, and is told to nobody."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.support.alert_receiver import Chat
from tests.support.alerting import let_mute_end, tick
from tests.support.processes import eventually
from tests.support.real_stores import RETAIN
from tests.support.rulebooks import watch_in
from workers.monitoring.alerter import Alerter
from workers.monitoring.alerts import AlertKind
from workers.pipeline.worker import GrantWorker
from workers.store import keys
from workers.timings import Timings


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
