"""The alert that Redis is away: when it lasts, once, and once more when it is over."""

from collections.abc import Mapping
from typing import Any

import pytest

from workers.monitoring import redis_alerts
from workers.monitoring.redis_alerts import RedisAlerts
from workers.timings import Timings

FULL = f"the disk is full: 0 KB are left for /{'data/' * 50} (make room there)"
URL = "https://chat.example.com/s3cret"
LASTS = Timings().redis_away_before_alert_seconds


class Post:
    """Stands in for the chat, which may be away too."""

    def __init__(self) -> None:
        self.bodies: list[Mapping[str, Any]] = []
        self.is_away = False

    def __call__(self, _url: str, body: Mapping[str, Any], *, timeout_seconds: float) -> None:
        """Take an alert."""
        if self.is_away:
            raise TimeoutError(URL)
        self.bodies.append(body)

    @property
    def kinds(self) -> list[str]:
        return [one["kind"] for one in self.bodies]


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Post:
    taken = Post()
    monkeypatch.setattr(redis_alerts, "post", taken)
    return taken


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def alerts(clock: Clock, chat: Post) -> RedisAlerts:
    return RedisAlerts(URL, now=clock)


def test_people_are_told_once_when_it_lasts_and_once_when_it_is_over(
    alerts: RedisAlerts, clock: Clock, chat: Post
) -> None:
    for clock.now in (0, LASTS - 1):
        alerts.check(FULL)
    assert chat.kinds == []
    for clock.now in (LASTS, LASTS + 5, 2 * LASTS):
        alerts.check(FULL)
    assert chat.kinds == ["redis"]
    for clock.now in (3 * LASTS, 4 * LASTS):
        alerts.check("")
    assert chat.kinds == ["redis", "well"]


def test_the_alert_names_the_cause_and_knows_nothing_of_deliveries(
    alerts: RedisAlerts, clock: Clock, chat: Post
) -> None:
    for clock.now in (0, LASTS):
        alerts.check(FULL)
    (body,) = chat.bodies
    assert body["text"] == (
        f"credit-granter: Redis is away or takes no writes, so nothing is stored or granted: {FULL}."
    )
    assert (body["failed"], body["waiting"], body["oldest_waiting_seconds"]) == (None, None, None)


def test_a_short_outage_is_nobodys_concern(alerts: RedisAlerts, clock: Clock, chat: Post) -> None:
    for clock.now, reason in ((0, FULL), (LASTS - 1, ""), (LASTS, FULL), (2 * LASTS - 1, FULL)):
        alerts.check(reason)
    assert chat.kinds == []


def test_an_alert_that_cannot_be_sent_is_sent_ten_minutes_later(
    alerts: RedisAlerts, clock: Clock, chat: Post
) -> None:
    chat.is_away = True
    for clock.now in (0, LASTS):
        alerts.check(FULL)
    chat.is_away = False
    for clock.now in (LASTS + 599, LASTS + 600):
        alerts.check(FULL)
    assert chat.kinds == ["redis"]


def test_a_redis_that_comes_and_goes_makes_no_more_than_an_alert_in_ten_minutes(
    alerts: RedisAlerts, clock: Clock, chat: Post
) -> None:
    for clock.now in range(0, 1200, 10):
        alerts.check(FULL if clock.now % 200 < 150 else "")
    assert chat.kinds == ["redis", "well", "redis", "well"]
