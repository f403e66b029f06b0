"""A running ``credits up`` sends alerts, and nothing that it prints shows the alert URL."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.demo.polar import create_app
from tests.support.alert_receiver import Chat, chat
from tests.support.builders import order_webhook, some_id
from tests.support.cli_session import Desk, assert_one_line_error, strangers_purchase
from tests.support.processes import Credits, credits_in, eventually, post, some_polar
from tests.support.recordings import payload
from tests.support.servers import running
from workers.store import keys

pytestmark = pytest.mark.heavy  # whole services wait for an alert


@pytest.fixture
def room() -> Iterator[Chat]:
    with chat() as opened:
        yield opened


def test_a_failed_delivery_is_reported_while_others_are_credited(tmp_path: Path, room: Chat) -> None:
    polar = some_polar()
    with running(create_app(polar)) as polar_url:
        credits_ = credits_in(tmp_path, polar_url, CREDITS_ALERT_URL=room.url, LOG_LEVEL="debug")
        with credits_.running("up", "--workers", "2") as up, httpx.Client(base_url=up.url()) as client:
            post(client, payload("order_paid_purchase"))
            post(client, strangers_purchase())
            (alert,) = eventually(lambda: room.posted)
            eventually(lambda: "alert sent" in up.said)
            line = next(line for line in up.said.splitlines() if "alert sent" in line)
            assert json.loads(line)["process"].startswith("worker")
            post(client, order_webhook(id=some_id(2)))
            eventually(lambda: len(polar.events) == 2)
    assert alert["text"] == alert["content"]
    assert alert["text"].startswith("credit-granter: 1 delivery failed, 1 in all: ")
    assert (alert["service"], alert["kind"], alert["failed"]) == ("credit-granter", "failed", 1)
    assert "Customer not found." in alert["reasons"][0]
    assert room.kinds == ["failed"]
    assert room.secret not in up.said


def test_a_burst_ends_only_after_the_alert_is_sent(desk: Desk, room: Chat) -> None:
    """After a burst, it may take long until the next worker runs."""
    desk.receive(strangers_purchase())
    done = desk.credits.with_settings(CREDITS_ALERT_URL=room.url).run("work", "--burst")
    assert done.returncode == 0
    assert room.kinds == ["failed"]
    assert desk.redis.hget(keys.ALERTS, "failed_reported") == b"1"


def test_an_unusable_url_is_a_one_line_error_that_does_not_show_it(alone: Credits, room: Chat) -> None:
    here = alone.with_settings(CREDITS_ALERT_URL=f"chat.example.com/{room.secret}")
    done = here.run("status")
    assert_one_line_error(done, "CREDITS_ALERT_URL", "http")
    assert room.secret not in done.stderr
