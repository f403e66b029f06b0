"""A receiver under uvicorn on a real Redis: real payloads, real outages, and strangers on the wire."""

import json
import logging
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from app.demo.polar import Polar as StandIn
from app.demo.polar import create_app as create_polar
from app.main import create_app
from app.signature import sign
from app.webhooks import MOST_BYTES
from config.errors import ConfigError
from config.settings import Settings
from tests.builders import order_webhook, rules_of, some_id
from tests.conftest import PAYLOADS, payload
from tests.processes import eventually
from tests.servers import running
from workers import keys
from workers.deliveries import DeliveryStore
from workers.embedded import EmbeddedRedis
from workers.polar import Polar
from workers.queue import GrantWorker, queue_length
from workers.records import Status

SECRET = "whsec_testsecret"
OPS_TOKEN = "ops_s3cret"
PATH = "/webhooks/polar"
PAID = payload("order_paid_purchase")
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".headers"))
STORED_TYPES = {"order.paid", "order.refunded", "subscription.cycled", "customer.created"}

# Polar's own patience: what is not answered by then counts as failed there.
POLAR_SECONDS = 10

# For an answer to what is no whole request, if there is one.
MOMENT_SECONDS = 0.2


def settings_for(url: str, **others: str) -> Settings:
    return Settings.model_validate({"REDIS_URL": url, "POLAR_WEBHOOK_SECRET": SECRET, **others})


def signed(body: bytes, delivery_id: str) -> dict[str, str]:
    return sign(SECRET, delivery_id, int(time.time()), body)


def deliver(url: str, body: bytes, delivery_id: str = "msg-1") -> httpx.Response:
    return httpx.post(url + PATH, content=body, headers=signed(body, delivery_id), timeout=POLAR_SECONDS)


def disposition(url: str, body: bytes, delivery_id: str = "msg-1") -> str:
    answer = deliver(url, body, delivery_id)
    assert answer.status_code == 202
    assert answer.json()["delivery"] == delivery_id
    return str(answer.json()["disposition"])


@pytest.fixture(scope="module")
def one_receiver(redis_url: str) -> Iterator[str]:
    """Yield the base URL of a receiver that all tests share: what one sends must not harm the next."""
    with running(create_app(settings_for(redis_url, CREDITS_OPS_TOKEN=OPS_TOKEN))) as url:
        yield url


@pytest.fixture
def receiver(one_receiver: str, redis: Redis) -> str:
    """Return the base URL of the receiver, its Redis emptied."""
    return one_receiver


# Payloads.


@pytest.mark.parametrize("name", NAMES)
def test_every_real_webhook_is_stored_or_ignored_by_its_type(receiver: str, redis: Redis, name: str) -> None:
    body = payload(name)
    is_stored = json.loads(body)["type"] in STORED_TYPES
    assert disposition(receiver, body) == ("accepted" if is_stored else "ignored")
    assert disposition(receiver, body) == ("duplicate" if is_stored else "ignored")
    assert DeliveryStore(redis).body("msg-1") == (body if is_stored else b"")
    assert queue_length(redis) == is_stored


def test_recorded_requests_are_refused_today_for_their_age(receiver: str, redis: Redis) -> None:
    headers = json.loads((PAYLOADS / "order_paid_purchase.headers.json").read_bytes())
    stale = sign(SECRET, headers["webhook-id"], 1_700_000_000, PAID)
    answer = httpx.post(receiver + PATH, content=PAID, headers=headers | stale)
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("stale webhook-timestamp")
    assert redis.keys() == []


def test_a_body_that_is_no_event_is_stored_for_somebody_to_see(receiver: str, redis: Redis) -> None:
    assert disposition(receiver, b"\xff\x00 no event") == "accepted"
    assert DeliveryStore(redis).body("msg-1") == b"\xff\x00 no event"


def test_a_hundred_senders_on_one_connection_each_are_all_stored(receiver: str, redis: Redis) -> None:
    with httpx.Client(base_url=receiver) as client:
        for number in range(100):
            body = order_webhook(id=some_id(number))
            answer = client.post(PATH, content=body, headers=signed(body, f"msg-{number}"))
            assert answer.status_code == 202
    assert DeliveryStore(redis).counts()[Status.WAITING] == 100
    assert queue_length(redis) == 1


# Redis away.


def test_without_redis_it_starts_says_503_and_is_back_by_itself(tmp_path: Path) -> None:
    embedded = EmbeddedRedis(tmp_path / "data")
    with running(create_app(settings_for(embedded.url))) as url:
        assert_away(url)
        with embedded:
            eventually(lambda: deliver(url, PAID).status_code == 202)
            assert httpx.get(url + "/readyz").status_code == 200
        embedded.await_end()
        assert_away(url)
        with embedded:
            eventually(lambda: deliver(url, PAID, "msg-2").status_code == 202)
            # What was answered 2xx has outlived the server that took it.
            assert disposition(url, PAID, "msg-1") == "duplicate"


def assert_away(url: str) -> None:
    answer = deliver(url, PAID, "msg-0")
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert httpx.get(url + "/readyz").status_code == 503
    assert httpx.get(url + "/livez").status_code == 200
    assert (httpx.get(url + "/healthz").status_code, httpx.get(url + "/healthz").json()) == (
        503,
        {"status": "unwell"},
    )
    assert deliver(url, payload("customer_updated")).json()["disposition"] == "ignored"
    assert httpx.post(url + PATH, content=PAID).status_code == 403


def test_a_redis_that_hangs_is_answered_for_within_polars_patience(receiver: str, redis: Redis) -> None:
    """The delivery may be stored or not by the time Redis goes on; sent again, it is there once."""
    disposition(receiver, PAID, "msg-0")
    redis.client_pause(60_000, all=False)
    try:
        assert deliver(receiver, PAID).status_code == 503
    finally:
        redis.client_unpause()
    assert disposition(receiver, PAID) in {"accepted", "duplicate"}
    assert DeliveryStore(redis).counts()[Status.WAITING] == 2


def test_connections_that_redis_cut_are_made_anew(receiver: str, redis: Redis) -> None:
    disposition(receiver, PAID, "msg-0")
    redis.client_kill_filter(_type="normal", skipme=True)
    eventually(lambda: deliver(receiver, PAID).status_code == 202)


def test_a_redis_that_lost_its_scripts_is_given_them_again(receiver: str, redis: Redis) -> None:
    disposition(receiver, PAID, "msg-0")
    redis.script_flush()
    assert disposition(receiver, PAID) == "accepted"


def test_a_receiver_that_ends_leaves_no_connection_to_redis_open(redis: Redis, redis_url: str) -> None:
    before = len(redis.client_list())
    app = create_app(settings_for(redis_url))
    with running(app) as url:
        disposition(url, PAID)
        health(url)
        assert len(redis.client_list()) > before
    eventually(lambda: len(redis.client_list()) <= before)


@pytest.mark.parametrize(
    ("missing", "name"), [("redis_url", "REDIS_URL"), ("webhook_secret", "POLAR_WEBHOOK_SECRET")]
)
def test_without_what_it_needs_it_does_not_start(missing: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is not set"):
        create_app(settings_for("redis://127.0.0.1").model_copy(update={missing: None}))


# Health.


def health(url: str, authorization: str | None = None) -> Any:
    headers = {"Authorization": authorization} if authorization is not None else {}
    answer = httpx.get(url + "/healthz", headers=headers)
    assert answer.status_code == 503  # there is no worker in these tests
    return answer.json()


def test_it_lives_and_is_ready_without_any_worker(receiver: str, redis: Redis) -> None:
    assert httpx.get(receiver + "/livez").status_code == 200
    assert httpx.get(receiver + "/readyz").status_code == 200
    assert 0 < redis.ttl(keys.READY) <= 60


def test_an_operator_is_told_each_check(receiver: str) -> None:
    checks = health(receiver, f"Bearer {OPS_TOKEN}")["checks"]
    assert checks["redis"] == {"ok": True, "detail": "takes writes, keeps them"}
    assert checks["workers"] == {"ok": False, "detail": "0 alive"}
    assert {"waiting", "rules"} <= checks.keys()


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ops_s3cre",
        f"bearer {OPS_TOKEN}x",
        OPS_TOKEN,
        f"Basic {OPS_TOKEN}",
    ],
)
def test_a_stranger_is_told_only_whether_all_is_well(receiver: str, authorization: str | None) -> None:
    assert health(receiver, authorization) == {"status": "unwell"}


def test_a_strangers_token_of_any_bytes_breaks_nothing(receiver: str) -> None:
    request = (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\x80\r\nConnection: close\r\n\r\n"
    )
    answer = raw(receiver, request, hang_up=False)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"checks" not in answer


def test_without_an_ops_token_nobody_is_an_operator(redis: Redis, redis_url: str) -> None:
    with running(create_app(settings_for(redis_url))) as url:
        assert health(url, "Bearer") == health(url, "Bearer None") == {"status": "unwell"}


def test_the_whole_is_well_when_a_worker_lives_with_rules_in_force(redis: Redis, redis_url: str) -> None:
    """A receiver of its own: what another has just found out it may tell again for a while."""
    worker = GrantWorker(redis, rules=rules_of(), retain=timedelta(days=30))
    worker.register_birth()  # type: ignore[no-untyped-call]  # RQ has no types here
    worker.heartbeat()
    with running(create_app(settings_for(redis_url))) as url:
        answer = httpx.get(url + "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "well"})


# Strangers on the wire.


def raw(url: str, request: bytes, *, hang_up: bool = True) -> bytes:
    """Send these very bytes and no more; return all that comes back until the server closes.

    Who hangs up gives the server a moment first: it keeps its answer from who has gone.
    """
    parts = urlsplit(url)
    answer = b""
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=30) as wire:
        try:
            wire.sendall(request)
            if hang_up:
                select.select([wire], [], [], MOMENT_SECONDS)
                with suppress(OSError):  # it may have closed already
                    wire.shutdown(socket.SHUT_WR)
            while part := wire.recv(65_536):
                answer += part
        except (ConnectionResetError, BrokenPipeError):
            pass  # it had heard enough
    return answer


def post_with(*headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /webhooks/polar HTTP/1.1", b"Host: x", *headers, b"", body])


def statuses(answer: bytes) -> list[int]:
    return [int(line.split()[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


GARBAGE = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "no HTTP": b"\x00\xff\xfe garbage\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "half a request line": b"POST /webh",
    "another HTTP": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method of its own": b"BREW /webhooks/polar HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "a path of bytes": b"GET /\xff\xfe%ff%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path outside": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "a very long path": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header without a colon": post_with(b"no colon here"),
    "a header of bytes": post_with(b"webhook-id: \xff\xfe\x80", b"Content-Length: 0"),
    "a header with a null": post_with(b"webhook-id: a\x00b", b"Content-Length: 0"),
    "a folded header": post_with(b"webhook-id: a", b" folded", b"Content-Length: 0"),
    "a very long header": post_with(b"webhook-id: " + b"a" * 200_000, b"Content-Length: 0"),
    "ten thousand headers": post_with(
        *(b"X-%d: y" % number for number in range(10_000)), b"Content-Length: 0"
    ),
    "the same header ten times": post_with(*[b"webhook-id: a"] * 10, b"Content-Length: 0"),
    "headers that never end": b"POST /webhooks/polar HTTP/1.1\r\nHost: x\r\nA: b\r\n",
    "a length that is no number": post_with(b"Content-Length: many"),
    "a negative length": post_with(b"Content-Length: -5"),
    "a vast length": post_with(b"Content-Length: " + b"9" * 40),
    "two lengths": post_with(b"Content-Length: 1", b"Content-Length: 2", body=b"ab"),
    "length and chunks": post_with(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "less than announced": post_with(b"Content-Length: 1000", body=b"{"),
    "more than announced": post_with(b"Content-Length: 2", body=b"{}GET / garbage\r\n\r\n"),
    "a chunk of no size": post_with(b"Transfer-Encoding: chunked", body=b"zz\r\nabc\r\n"),
    "a chunk of vast size": post_with(b"Transfer-Encoding: chunked", body=b"f" * 30 + b"\r\nabc"),
    "a chunk that is cut off": post_with(b"Transfer-Encoding: chunked", body=b"ff\r\nabc"),
    "an unknown encoding": post_with(b"Transfer-Encoding: rot13", body=b"abc"),
    "an upgrade": post_with(b"Upgrade: websocket", b"Connection: upgrade", b"Content-Length: 0"),
    "an expectation": post_with(b"Expect: 100-continue", b"Content-Length: 10"),
    "a null in the body": post_with(b"Content-Length: 3", body=b"\x00\x00\x00"),
}


@pytest.mark.parametrize("request_bytes", GARBAGE.values(), ids=GARBAGE.keys())
def test_no_garbage_gives_a_500_or_ends_the_receiver(
    receiver: str, redis: Redis, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = raw(receiver, request_bytes)
    assert all(status < 500 for status in statuses(answer)), answer[:200]
    assert [one for one in caplog.records if one.exc_info] == []
    assert redis.keys() == []
    assert disposition(receiver, PAID) == "accepted"


def test_a_good_signature_over_half_a_body_stores_nothing(receiver: str, redis: Redis) -> None:
    headers = [f"{name}: {value}".encode() for name, value in signed(PAID, "msg-1").items()]
    request = post_with(*headers, b"Content-Length: %d" % len(PAID), body=PAID[:-10])
    assert 202 not in statuses(raw(receiver, request))
    assert redis.keys() == []


def test_a_sender_that_dribbles_keeps_nobody_waiting(receiver: str) -> None:
    """A hundred slow senders hold their connections while another is served."""
    parts = urlsplit(receiver)
    address = (str(parts.hostname), int(parts.port or 0))
    slow = [socket.create_connection(address, timeout=30) for _ in range(100)]
    for wire in slow:
        wire.sendall(post_with(b"Content-Length: 1000", body=b"{"))
    assert disposition(receiver, PAID) == "accepted"
    for wire in slow:
        wire.sendall(b" ")
        wire.close()
    assert disposition(receiver, PAID) == "duplicate"


def chunks(size_bytes: int) -> bytes:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    return chunk * (size_bytes // 0x8000)


def test_too_large_a_body_in_chunks_is_answered_before_it_ends(receiver: str, redis: Redis) -> None:
    """Nothing more is sent after the byte too many: who still waits for the end answers never."""
    body = chunks(MOST_BYTES) + b"1\r\nx\r\n"
    answer = raw(receiver, post_with(b"Transfer-Encoding: chunked", body=body), hang_up=False)
    assert statuses(answer) == [413]
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert redis.keys() == []


def test_too_large_an_announced_body_is_answered_before_it_comes(receiver: str) -> None:
    request = post_with(b"Content-Length: %d" % (MOST_BYTES + 1))
    assert statuses(raw(receiver, request, hang_up=False)) == [413]


def test_two_mebibytes_in_chunks_that_are_sent_all_the_same_do_no_harm(receiver: str, redis: Redis) -> None:
    """The answer may be lost to the sender, who did not stop to read it."""
    body = chunks(2 * MOST_BYTES) + b"0\r\n\r\n"
    answer = raw(receiver, post_with(b"Transfer-Encoding: chunked", body=body))
    assert statuses(answer) in ([413], [])
    assert redis.keys() == []
    assert disposition(receiver, PAID) == "accepted"


def test_unknown_paths_and_methods_are_refused_politely(receiver: str) -> None:
    assert httpx.get(receiver + PATH).status_code == 405
    assert httpx.get(receiver + "/").status_code == 404
    assert httpx.get(receiver + "/metrics").status_code == 404
    assert httpx.post(receiver + "/readyz").status_code == 405


# Secrets.


def test_no_log_line_at_any_level_tells_a_secret(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every library below logs at its most talkative here."""
    caplog.set_level(logging.DEBUG)
    stand_in = StandIn(token="polar_oat_s3cret")
    secret = "whsec_s3cret"
    settings = settings_for(redis_url, POLAR_WEBHOOK_SECRET=secret, CREDITS_OPS_TOKEN=OPS_TOKEN)
    with running(create_app(settings)) as url, running(create_polar(stand_in)) as polar_url:
        httpx.post(url + PATH, content=PAID, headers=sign(secret, "msg-1", int(time.time()), PAID))
        httpx.post(url + PATH, content=PAID, headers=sign("other", "msg-1", int(time.time()), PAID))
        health(url, f"Bearer {OPS_TOKEN}")
        client = Polar(url=polar_url, token=stand_in.token)
        client.ingest([])
        client.close()
    assert caplog.records
    assert "s3cret" not in caplog.text
