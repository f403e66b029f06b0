"""Webhooks that nobody of ours has signed, or not lately: refused by name, counted, hardly logged."""

import asyncio
import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from app.receiver.answers import Answer
from app.receiver.signature import sign
from tests.support.receivers import ID, PAID, SECRET, Receiver, signed


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"webhook-id": ""}, "missing webhook-id"),
        ({"webhook-signature": ""}, "missing webhook-signature"),
        ({"webhook-timestamp": "soon"}, "malformed webhook-timestamp"),
        ({"webhook-signature": "v1;aGVsbG8="}, "malformed webhook-signature"),
        (
            {"webhook-timestamp": "1000000000"},
            "stale webhook-timestamp: more than 5 minutes from the receiver's clock",
        ),
    ],
)
def test_a_bad_signature_is_refused_by_name_and_nothing_is_stored(
    receiver: Receiver, headers: dict[str, str], detail: str
) -> None:
    answer = receiver.ask(headers=signed(PAID) | headers, content=PAID)
    assert answer.status_code == 403
    assert answer.json() == {"error": "invalid_signature", "detail": detail}
    assert receiver.redis.stored == {}
    assert receiver.counted() == {"rejected_requests invalid_signature": 1}


def test_a_signature_by_another_secret_is_refused_and_nothing_is_stored(receiver: Receiver) -> None:
    answer = receiver.ask(headers=sign("whsec_other", ID, int(time.time()), PAID), content=PAID)
    assert answer.status_code == 403
    assert (
        answer.json()["detail"]
        == "wrong webhook-signature: signed with another secret, or changed after signing"
    )
    assert receiver.redis.stored == {}


def test_a_stranger_without_any_header_is_refused(receiver: Receiver) -> None:
    assert receiver.ask(content=PAID).json()["detail"] == "missing webhook-id"


def test_a_forged_delivery_is_refused_even_while_redis_is_down(receiver: Receiver) -> None:
    receiver.redis.fault = RedisConnectionError("away")
    assert receiver.ask(content=PAID).status_code == 403


def test_a_flood_of_forgeries_is_counted_but_hardly_logged(receiver: Receiver) -> None:
    with capture_logs() as lines:
        for number in range(50):
            receiver.ask(
                headers=sign("whsec_other", f"forged-{number}", int(time.time()), PAID), content=PAID
            )
    assert receiver.counted() == {"rejected_requests invalid_signature": 50}
    assert [line["event"] for line in lines] == ["request refused"]


@pytest.mark.parametrize(
    ("ahead", "clock"),
    [(0, None), (630, "this host's clock is 10 min behind Redis's"), (-7230, "2 h ahead of Redis's")],
)
def test_a_stale_delivery_is_logged_with_what_is_wrong_with_this_hosts_clock(
    receiver: Receiver, ahead: int, clock: str | None
) -> None:
    receiver.redis.ahead_seconds = ahead
    headers = sign(SECRET, ID, int(time.time()) + ahead - 3000, PAID)
    with capture_logs() as lines:
        for _ in range(5):
            assert receiver.ask(headers=headers, content=PAID).status_code == 403
    (line,) = lines
    assert line["reason"].startswith("stale webhook-timestamp")
    if clock is None:
        assert "clock" not in line
    else:
        assert clock in line["clock"]


def test_many_stale_deliveries_at_once_ask_redis_for_its_time_once(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question takes a connection, and storing has three: Polar would wait behind strangers."""
    asked = []

    async def ask() -> tuple[int, int]:
        asked.append(1)
        await asyncio.sleep(0.01)
        return int(time.time()) + 630, 0

    async def send_many() -> list[Answer]:
        answers: list[Answer] = []
        for _ in range(50):
            receiver.endpoint.take(headers, PAID, answers.append)
        while len(answers) < 50:
            await asyncio.sleep(0.01)
        return answers

    monkeypatch.setattr(receiver.redis, "time", ask)
    old = sign(SECRET, ID, int(time.time()) - 3000, PAID)
    headers = [(name.encode(), value.encode()) for name, value in old.items()]
    with capture_logs() as lines:
        answers = asyncio.run(asyncio.wait_for(send_many(), 10))
    assert {answer.status for answer in answers} == {403}
    assert len(asked) == 1
    (line,) = lines
    assert "behind Redis's" in line["clock"]
    assert receiver.counted() == {"rejected_requests invalid_signature": 50}


def test_a_stale_delivery_is_refused_by_name_even_if_redis_is_away(receiver: Receiver) -> None:
    receiver.redis.fault = RedisConnectionError("away")
    answer = receiver.ask(headers=sign(SECRET, ID, int(time.time()) - 3000, PAID), content=PAID)
    assert (answer.status_code, answer.json()["error"]) == (403, "invalid_signature")


def test_nothing_of_a_refused_request_is_logged(receiver: Receiver) -> None:
    headers = {
        "webhook-id": "ann@example.com",
        "webhook-timestamp": "soon\x1b[31m",
        "webhook-signature": "v1,x",
    }
    with capture_logs() as lines:
        receiver.ask(headers=signed(PAID) | headers, content=b"ann@example.com")
    assert lines == [
        {
            "event": "request refused",
            "reason": "malformed webhook-timestamp",
            "count": 1,
            "log_level": "warning",
        }
    ]
