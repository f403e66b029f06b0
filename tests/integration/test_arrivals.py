"""Webhooks that are refused, or that stay away: told to operators, and never by what strangers can see."""

import json
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from redis import Redis

from app.main import create_app
from tests.support.alert_receiver import chat
from tests.support.metrics_scrape import scraped
from tests.support.real_stores import now_ms
from tests.support.receivers import OPS_TOKEN, PAID, PATH, deliver, health, settings_for, signed
from tests.support.recordings import PAYLOADS
from tests.support.servers import running
from workers.monitoring.alerter import Alerter
from workers.store import keys
from workers.store.arrivals import TO_DO, ArrivalNotes, Arrivals, arrivals, note_arrivals

WRONG = "wrong webhook-signature: signed with another secret, or changed after signing"
NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)


def refuse(url: str, agent: str = "polar.sh webhooks", seconds_ago: int = 0) -> None:
    """Send a webhook that was changed after signing."""
    headers = signed(PAID) | {"user-agent": agent}
    if seconds_ago:
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) - seconds_ago)
    assert httpx.post(url + PATH, content=PAID + b" ", headers=headers).status_code == 403


def receiver(redis_url: str) -> AbstractContextManager[str]:
    return running(create_app(settings_for(redis_url, CREDITS_OPS_TOKEN=OPS_TOKEN)))


def test_polars_own_requests_look_like_polars() -> None:
    recorded = json.loads((PAYLOADS / "order_paid_purchase.headers.json").read_text())
    assert recorded["user-agent"] == "polar.sh webhooks"  # which `refuse` sends


def test_refused_webhooks_are_told_to_operators_and_do_not_turn_health(redis: Redis, redis_url: str) -> None:
    with receiver(redis_url) as url:
        for _ in range(6):
            refuse(url)
        numbers = scraped(url)  # which writes the notes
        checks = health(url, f"Bearer {OPS_TOKEN}")["checks"]
    assert numbers["credits_refused_webhooks"] == 6
    assert "webhooks" not in checks
    found = arrivals(redis)
    assert found.are_refused
    assert found.describe().startswith("6 webhooks refused in ")
    assert found.describe().endswith(f" and none accepted: {WRONG}; {TO_DO}")


def test_a_wrong_clock_is_told_as_the_reason(redis: Redis, redis_url: str) -> None:
    with receiver(redis_url) as url:
        for _ in range(3):
            refuse(url, seconds_ago=3600)
    assert "more than 5 minutes from the receiver's clock" in arrivals(redis).describe()


def test_one_that_is_accepted_ends_it(redis: Redis, redis_url: str) -> None:
    with receiver(redis_url) as url:
        for _ in range(6):
            refuse(url)
        scraped(url)
        assert deliver(url, PAID).status_code == 202
        refuse(url)
        numbers = scraped(url)
    assert numbers["credits_refused_webhooks"] == 1
    assert 0 <= numbers["credits_seconds_since_last_webhook"] < 60
    assert not arrivals(redis).are_refused


def test_requests_of_others_are_not_counted(redis: Redis, redis_url: str) -> None:
    with receiver(redis_url) as url:
        for _ in range(6):
            refuse(url, agent="curl/8.5")
            httpx.post(url + PATH, headers={"user-agent": "polar.sh webhooks"})
        assert scraped(url)["credits_refused_webhooks"] == 0
    assert not redis.exists(keys.WEBHOOKS)


def test_a_flood_of_forgeries_writes_a_few_fields(redis: Redis) -> None:
    notes = ArrivalNotes()
    for _ in range(3):
        for _ in range(1000):
            notes.add_refused(WRONG)
        with notes.flush() as note:
            note_arrivals(redis, note)
    assert redis.hkeys(keys.WEBHOOKS) == [b"refused_since", b"refused", b"reason"]
    assert arrivals(redis).refused == 3000


def test_what_could_not_be_written_is_kept(redis: Redis) -> None:
    notes = ArrivalNotes()
    notes.add_refused(WRONG)
    with suppress(OSError), notes.flush():
        notes.add_refused(WRONG)
        raise OSError
    with notes.flush() as note:
        note_arrivals(redis, note)
    assert arrivals(redis).refused == 2


def test_people_are_told_after_ten_minutes_and_when_one_is_accepted(redis: Redis) -> None:
    with chat() as room:
        alerter = Alerter(redis, url=room.url)

        def tick() -> None:
            alerter.check()
            alerter.finish()

        note_arrivals(redis, (False, 3, WRONG))
        tick()
        assert room.posted == []  # somebody may be changing the secret
        redis.hset(keys.WEBHOOKS, "refused_since", now_ms(redis) - 600_000)
        tick()
        tick()
        (told,) = room.posted
        assert told["kind"] == "webhooks"
        assert TO_DO in told["text"]
        note_arrivals(redis, (True, 0, ""))
        tick()
        assert room.kinds == ["webhooks", "well"]


@pytest.mark.parametrize(
    ("silence", "words"),
    [
        (None, "none yet"),
        (timedelta(minutes=3), "the last one came 3 min ago"),
        (
            timedelta(days=2),
            "the last one came 2 d ago; credits check shows whether Polar still sends them",
        ),
    ],
)
def test_a_day_without_webhooks_is_noted_where_there_were_some(silence: timedelta | None, words: str) -> None:
    found = Arrivals(now=NOW, last_at=NOW - silence if silence else None)
    assert found.describe() == words
    assert not found.are_refused


def test_one_or_two_refused_are_shown_and_no_trouble() -> None:
    found = Arrivals(now=NOW, refused=2, refused_since=NOW - timedelta(hours=1), reason=WRONG)
    assert (found.are_refused, found.problem) == (False, "")
    assert found.describe() == f"2 webhooks refused in 60 min and none accepted: {WRONG}"
