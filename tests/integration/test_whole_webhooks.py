"""Webhooks that arrive whole get no task of their own; they are answered exactly as those in pieces."""

import logging
import re
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from app.main import create_app
from app.receiver.server import server_config
from app.receiver.signature import sign
from tests.support.processes import eventually
from tests.support.raw_http import MOMENT_SECONDS, post_with, read_until_closed, wire_to
from tests.support.receivers import PAID, SECRET, deliver, settings_for
from tests.support.servers import running_as
from workers.core.delivery import Status
from workers.store.deliveries import DeliveryStore
from workers.store.intake import Intake

STALE = int(time.time()) - 3000


@pytest.fixture
def url(redis: Redis, redis_url: str) -> Iterator[str]:
    with running_as(server_config(create_app(settings_for(redis_url)))) as url:
        yield url


def request(
    delivery_id: str, *more: bytes, timestamp: int | None = None, secret: str = SECRET, body: bytes = PAID
) -> bytes:
    headers = sign(secret, delivery_id, timestamp or int(time.time()), body)
    lines = [f"{name}: {value}".encode() for name, value in headers.items()]
    return post_with(b"Content-Length: %d" % len(body), *lines, *more, body=body)


def answer_to(url: str, *pieces: bytes) -> bytes:
    with wire_to(url) as wire:
        for piece in pieces:
            wire.sendall(piece)
            time.sleep(MOMENT_SECONDS)
        answer = b""
        while not is_complete(answer):
            answer += wire.recv(65_536)
        return answer


def is_complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(end and length and len(body) == int(length[1]))


def without_date(answer: bytes) -> list[bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return [*sorted(line.lower() for line in head.split(b"\r\n") if not line.startswith(b"date")), body]


REQUESTS = {
    "accepted": request("msg-1"),
    "ignored": request("msg-1", body=PAID.replace(b"order.paid", b"order.updated", 1)),
    "forged": request("msg-1", secret="whsec_of-somebody-else"),
    "stale": request("msg-1", timestamp=STALE),
    "unsigned": post_with(b"Content-Length: 2", body=b"{}"),
    "to be closed": request("msg-1", b"Connection: close"),
    "an upgrade": post_with(b"Connection: Upgrade", b"Upgrade: websocket"),
    "chunks": post_with(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\nA: trailer\r\n\r\n"),
    "a slash behind the path": request("msg-1").replace(b"polar ", b"polar/ ", 1),
    "a query": request("msg-1").replace(b"polar ", b"polar?a=b ", 1),
    "an escaped path": request("msg-1").replace(b"polar ", b"%70olar ", 1),
    "another method": request("msg-1").replace(b"POST ", b"PUT ", 1),
    "HTTP/1.0": request("msg-1").replace(b"HTTP/1.1", b"HTTP/1.0", 1),
}


@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_whole_webhook_is_answered_as_one_in_two_pieces(url: str, redis: Redis, sent: bytes) -> None:
    whole = answer_to(url, sent)
    redis.flushall()
    assert without_date(whole) == without_date(answer_to(url, sent[:-1], sent[-1:]))


def test_each_answer_on_a_connection_belongs_to_its_request(url: str) -> None:
    with wire_to(url) as wire:
        for number in range(3):
            wire.sendall(request(f"msg-{number}"))
            answer = wire.recv(65_536)  # the whole answer comes at once
            assert answer.startswith(b"HTTP/1.1 202 Accepted\r\n")
            assert answer.endswith(b'\r\n\r\n{"delivery":"msg-%d","disposition":"accepted"}' % number)


def test_an_id_that_json_must_escape_is_answered_in_json(url: str) -> None:
    answer = deliver(url, PAID, '"\\')
    assert answer.json() == {"delivery": '"\\', "disposition": "accepted"}


def test_a_webhook_whose_sender_leaves_before_its_answer_is_stored(
    url: str, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis.client_pause(500, all=False)
    with wire_to(url) as wire:
        wire.sendall(request("msg-1"))
    eventually(lambda: DeliveryStore(redis).count_by_status()[Status.WAITING] == 1)
    assert deliver(url, PAID, "msg-2").status_code == 202
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_an_error_of_ours_is_a_500_and_ends_no_more_than_its_connection(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    with monkeypatch.context() as broken, wire_to(url) as wire:
        broken.setattr(Intake, "put", fail)
        wire.sendall(request("msg-1"))
        assert read_until_closed(wire).startswith(b"HTTP/1.1 500 ")
    assert deliver(url, PAID).status_code == 202
