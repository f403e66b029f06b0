"""The contract's HTTP table for ``POST /webhooks/polar``, over a Redis in memory."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from starlette.applications import Starlette
from starlette.routing import Route

from app.signature import Verifier, sign
from app.webhooks import MOST_BYTES, WebhookEndpoint
from tests.builders import order_webhook
from tests.conftest import payload
from workers import keys
from workers.intake import Intake

SECRET = "whsec_testsecret"
PATH = "/webhooks/polar"
ID = "4dab40bf-0dfb-422e-9031-6ceec1795535"
PAID = payload("order_paid_purchase")

RawHeaders = list[tuple[bytes, bytes]]


class MemoryRedis:
    """As much of Redis as intake asks for; its one script keeps bodies by their key."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.fault: Exception | None = None
        self.connection_pool = self
        self.disconnected = 0

    async def disconnect(self) -> None:
        """Count how often the pool was told to connect anew."""
        self.disconnected += 1

    def register_script(self, _source: str) -> "MemoryRedis":
        """Return the script."""
        return self

    async def __call__(self, *, keys: Sequence[str], args: Sequence[object]) -> bytes:
        """Accept a delivery: ``keys[0]`` is its own, ``args[2]`` its body."""
        if self.fault:
            raise self.fault
        if keys[0] in self.stored:
            return b"duplicate"
        self.stored[keys[0]] = cast(bytes, args[2])
        return b"accepted"


class Receiver:
    """An endpoint, and what it has stored."""

    def __init__(self) -> None:
        self.redis = MemoryRedis()
        self.endpoint = WebhookEndpoint(Verifier([SECRET]), Intake(cast(Redis, self.redis)))
        self.app = Starlette(routes=[Route(PATH, self.endpoint.answer, methods=["POST"])])

    def ask(
        self,
        method: str = "POST",
        *,
        headers: dict[str, str] | RawHeaders | None = None,
        content: bytes | AsyncIterator[bytes] = b"",
    ) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
                return await client.request(method, PATH, headers=headers, content=content)

        return asyncio.run(ask())

    def deliver(self, body: bytes, delivery_id: str = ID) -> httpx.Response:
        return self.ask(headers=signed(body, delivery_id), content=body)


@pytest.fixture
def receiver() -> Receiver:
    """Return a receiver that nobody has asked yet."""
    return Receiver()


def signed(body: bytes, delivery_id: str = ID) -> dict[str, str]:
    return sign(SECRET, delivery_id, int(time.time()), body)


def test_a_first_delivery_is_accepted_and_stored_byte_for_byte(receiver: Receiver) -> None:
    answer = receiver.deliver(PAID)
    assert answer.status_code == 202
    assert answer.json() == {"delivery": ID, "disposition": "accepted"}
    assert receiver.redis.stored == {keys.delivery(ID): PAID}


def test_the_same_delivery_again_is_a_duplicate(receiver: Receiver) -> None:
    receiver.deliver(PAID)
    answer = receiver.deliver(PAID)
    assert (answer.status_code, answer.json()["disposition"]) == (202, "duplicate")
    assert len(receiver.redis.stored) == 1


@pytest.mark.parametrize(
    "name", ["order_paid_free", "order_refunded_full", "subscription_cycled", "customer_created"]
)
def test_the_types_that_credits_hang_on_are_accepted(receiver: Receiver, name: str) -> None:
    assert receiver.deliver(payload(name)).json()["disposition"] == "accepted"


@pytest.mark.parametrize(
    "body",
    [
        payload("order_created_paid_purchase"),
        payload("customer_state_changed"),
        payload("other_benefit_created"),
        b'{"type": "something.of_next_year", "data": [1, 2]}',
        b'{"type": "ORDER.PAID"}',
    ],
)
def test_any_other_type_is_ignored_counted_and_not_stored(receiver: Receiver, body: bytes) -> None:
    answer = receiver.deliver(body)
    assert (answer.status_code, answer.json()) == (202, {"delivery": ID, "disposition": "ignored"})
    assert receiver.endpoint.counts == {"ignored": 1}
    assert receiver.redis.stored == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"null",
        b"[]",
        b"{}",
        b'{"type": null}',
        b'{"type": 7}',
        b'{"type": ""}',
        b'{"type": {"type": "order.paid"}}',
        b'{"type": "order.paid"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"type": "order.paid", "data": null}',
        b'{"type": "\\ud800"}',
        order_webhook(id="no id"),
    ],
)
def test_a_signed_body_that_is_no_event_is_accepted_and_stored(receiver: Receiver, body: bytes) -> None:
    """Its end is ``failed``, where somebody sees it; refused it would be gone."""
    answer = receiver.deliver(body)
    assert (answer.status_code, answer.json()["disposition"]) == (202, "accepted")
    assert receiver.redis.stored == {keys.delivery(ID): body}


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"webhook-id": ""}, "missing webhook-id"),
        ({"webhook-signature": ""}, "missing webhook-signature"),
        ({"webhook-timestamp": "soon"}, "malformed webhook-timestamp"),
        ({"webhook-signature": "v1;aGVsbG8="}, "malformed webhook-signature"),
        ({"webhook-timestamp": "1000000000"}, "stale webhook-timestamp: more than 5 minutes from now"),
        (
            sign("whsec_other", ID, int(time.time()), PAID),
            "wrong webhook-signature: signed with another secret, or altered",
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
    assert receiver.endpoint.counts == {"invalid_signature": 1}


def test_a_stranger_without_any_header_is_refused(receiver: Receiver) -> None:
    assert receiver.ask(content=PAID).json()["detail"] == "missing webhook-id"


class Upload:
    """A body in chunks of 64 KiB that knows how many of them were taken."""

    def __init__(self, size_bytes: int) -> None:
        self._left = size_bytes
        self.taken_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._left > 0:
            chunk = b"x" * min(self._left, 65_536)
            self._left -= len(chunk)
            self.taken_bytes += len(chunk)
            yield chunk


def test_a_body_of_exactly_the_most_bytes_is_accepted(receiver: Receiver) -> None:
    assert receiver.deliver(b" " * MOST_BYTES).status_code == 202


def test_one_byte_more_is_too_large_though_well_signed(receiver: Receiver) -> None:
    answer = receiver.deliver(b" " * (MOST_BYTES + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert receiver.redis.stored == {}


def test_a_chunked_body_of_the_most_bytes_is_taken_whole(receiver: Receiver) -> None:
    upload = Upload(MOST_BYTES)
    answer = receiver.ask(headers=signed(b"x" * MOST_BYTES), content=aiter(upload))
    assert answer.status_code == 202


def test_of_a_chunked_body_that_is_too_large_the_rest_is_not_read(receiver: Receiver) -> None:
    upload = Upload(64 * MOST_BYTES)
    assert receiver.ask(headers=signed(b""), content=aiter(upload)).status_code == 413
    assert upload.taken_bytes < MOST_BYTES + 200_000


@pytest.mark.parametrize("length", [str(MOST_BYTES + 1), "9" * 18, "9" * 5000])
def test_of_a_body_that_is_announced_too_large_nothing_is_read(receiver: Receiver, length: str) -> None:
    upload = Upload(MOST_BYTES)
    answer = receiver.ask(headers={"content-length": length}, content=aiter(upload))
    assert answer.status_code == 413
    assert upload.taken_bytes == 0


@pytest.mark.parametrize("length", ["0", "1", "-1", "", "many", "1e3", "\xb2"])
def test_an_announced_length_that_lies_is_not_believed(receiver: Receiver, length: str) -> None:
    upload = Upload(2 * MOST_BYTES)
    headers = [(b"content-length", length.encode("latin-1"))]
    assert receiver.ask(headers=headers, content=aiter(upload)).status_code == 413


@pytest.mark.parametrize(
    "fault",
    [
        RedisConnectionError("Error 111 connecting to 127.0.0.1:6379"),
        RedisTimeoutError("Timeout reading from socket"),
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'"),
        ReadOnlyError("You can't write against a read only replica."),
        ConnectionResetError("reset by peer"),
        FileNotFoundError("/run/redis.sock"),
    ],
)
def test_while_redis_cannot_store_polar_is_asked_to_come_again(receiver: Receiver, fault: Exception) -> None:
    receiver.redis.fault = fault
    answer = receiver.deliver(PAID)
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert str(fault) not in answer.text
    receiver.redis.fault = None
    assert receiver.deliver(PAID).json()["disposition"] == "accepted"


def test_what_is_ignored_does_not_need_redis(receiver: Receiver) -> None:
    receiver.redis.fault = RedisConnectionError("away")
    assert receiver.deliver(payload("customer_state_changed")).json()["disposition"] == "ignored"


def test_a_forged_delivery_is_refused_even_while_redis_is_away(receiver: Receiver) -> None:
    receiver.redis.fault = RedisConnectionError("away")
    assert receiver.ask(content=PAID).status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_post_is_allowed(receiver: Receiver, method: str) -> None:
    answer = receiver.ask(method)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


def test_a_sender_that_hangs_up_midway_stores_nothing(receiver: Receiver) -> None:
    sent: list[int] = []

    async def receive() -> dict[str, object]:
        if not sent:
            sent.append(0)
            return {"type": "http.request", "body": PAID[:100], "more_body": True}
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            sent.append(cast(int, message["status"]))

    headers = [(name.encode(), value.encode()) for name, value in signed(PAID).items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "headers": headers,
        "query_string": b"",
        "http_version": "1.1",
    }
    asyncio.run(receiver.app(scope, receive, send))  # type: ignore[arg-type]  # plain dicts are ASGI's messages
    assert sent == [0, 400]
    assert receiver.redis.stored == {}


def test_every_answer_is_counted_by_what_it_was(receiver: Receiver) -> None:
    receiver.deliver(PAID)
    receiver.deliver(PAID)
    receiver.deliver(payload("customer_updated"))
    receiver.ask()
    receiver.redis.fault = RedisConnectionError("away")
    receiver.deliver(PAID)
    assert receiver.endpoint.counts == {
        "accepted": 1,
        "duplicate": 1,
        "ignored": 1,
        "invalid_signature": 1,
        "unavailable": 1,
    }


HEADER_NAMES = st.sampled_from(
    [
        b"webhook-id",
        b"webhook-timestamp",
        b"webhook-signature",
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"x-forwarded-for",
    ]
)
HEADER_VALUES = st.binary(max_size=40) | st.sampled_from([ID.encode(), b"v1,aGVsbG8=", b"gzip", b"chunked"])
SOUP = st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=8)


@given(soup=SOUP, body=st.binary(max_size=200))
def test_no_stranger_gets_anything_but_a_refusal(soup: RawHeaders, body: bytes) -> None:
    receiver = Receiver()
    assert receiver.ask(headers=soup, content=body).status_code in {403, 413}
    assert receiver.redis.stored == {}


@given(soup=SOUP, body=st.binary(max_size=200), away=st.booleans())
def test_what_is_well_signed_is_stored_or_not_but_nothing_breaks(
    soup: RawHeaders, body: bytes, away: bool
) -> None:
    receiver = Receiver()
    receiver.redis.fault = RedisConnectionError("away") if away else None
    good = [(name.encode(), value.encode()) for name, value in signed(body).items()]
    answer = receiver.ask(headers=soup + good, content=body)
    assert answer.status_code in {202, 403, 413, 503}
    assert bool(receiver.redis.stored) == (answer.status_code == 202)


TEXTS = st.text(max_size=10)
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["order.paid", "order.refunded", "customer.created", "a", 1, None]) | TEXTS,
        "data": st.dictionaries(TEXTS, st.none() | TEXTS | st.integers() | st.lists(TEXTS)) | TEXTS,
    }
)


@given(event=EVENTS)
def test_what_polar_signs_gets_2xx_whatever_is_in_it(event: dict[str, object]) -> None:
    receiver = Receiver()
    answer = receiver.deliver(json.dumps(event).encode())
    assert answer.status_code == 202
    assert bool(receiver.redis.stored) == (answer.json()["disposition"] == "accepted")


def test_a_redis_that_became_a_replica_is_looked_up_anew(receiver: Receiver) -> None:
    """After a fail-over the name leads to the new primary, but open connections do not."""
    receiver.redis.fault = ReadOnlyError("You can't write against a read only replica.")
    assert receiver.deliver(PAID).status_code == 503
    assert receiver.redis.disconnected == 1
