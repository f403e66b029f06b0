"""Hundreds of requests made of good and bad pieces get only the statuses in ALLOWED, without a traceback."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.support.examples import examples
from tests.support.raw_http import send_raw, statuses
from tests.support.receivers import PAID, disposition, signed
from workers.store.deliveries import DeliveryStore

# 503 would mean that Redis is away, and it is not.
ALLOWED = {100, 200, 202, 400, 403, 404, 405, 413}

# An answer takes a millisecond; an incomplete request gets none.
MOMENT_SECONDS = 0.02

BODIES = st.sampled_from([b"", b"{", PAID, b"\x00\xff", b"x" * 70_000]) | st.binary(max_size=50)
PATHS = st.sampled_from(
    [
        b"/webhooks/polar",
        b"/webhooks/polar",
        b"/webhooks/polar?a=b",
        b"/webhooks/polar/",
        b"/livez",
        b"/nowhere",
        b"/livez%00",
        b"/../livez",
        b"*",
        b"http://elsewhere/livez",
        b"elsewhere:443",
        b"/\xff\x00",
        b"//",
        b"",
    ]
)
METHODS = st.sampled_from(
    [
        b"POST",
        b"POST",
        b"POST",
        b"GET",
        b"HEAD",
        b"PUT",
        b"OPTIONS",
        b"CONNECT",
        b"TRACE",
        b"",
        b"PO ST",
        b"\xff",
    ]
)
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b""])
HEADERS = st.sampled_from(
    [
        b"Host: x",
        b"Host: y",
        b"Expect: 100-continue",
        b"Expect: more",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: upgrade\r\nUpgrade: websocket",
        b"Connection: upgrade\r\nUpgrade: h2c",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Content-Length: 0",
        b"Content-Length: 7",
        b"Content-Length: -1",
        b"Content-Length: 99999999",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Encoding: gzip",
        b"webhook-id: a",
        b"webhook-id: \xff\xfe",
        b"webhook-timestamp: 1",
        b"webhook-signature: v1,a",
        b"X-Forwarded-For: [::1",
        b"no colon",
        b": no name",
        b" folded",
        b"A: " + b"a" * 20_000,
        b"\r\n".join([b"B: b"] * 200),
    ]
) | st.binary(max_size=20).map(lambda value: b"C: " + value)


def lines(headers: dict[str, str]) -> list[bytes]:
    """Return headers as lines of a request."""
    return [f"{name}: {value}".encode() for name, value in headers.items()]


@st.composite
def framed(draw: st.DrawFn, body: bytes) -> tuple[list[bytes], bytes]:
    """Draw the headers that state a body's length, right or wrong, and the body as it is sent."""
    kind = draw(st.sampled_from(["length", "length", "chunks", "bad chunks", "both", "lie", "none"]))
    length = b"Content-Length: %d" % len(body)
    chunked = [b"Transfer-Encoding: chunked"]
    chunks = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    size = draw(st.sampled_from([b"zz", b"-1", b"f" * 30, b"", b"1;" + b"a" * 20_000, b"ffffff"]))
    return {
        "length": ([length], body),
        "chunks": (chunked, chunks),
        "bad chunks": (chunked, size + b"\r\n" + chunks),
        "both": ([*chunked, length], chunks),
        "lie": ([length], body[: len(body) // 2]),
        "none": ([], body),
    }[kind]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw one request, signed or not."""
    body = draw(BODIES)
    length, sent = draw(framed(body))
    proof = lines(signed(body)) if draw(st.booleans()) else []
    headers = [b"Host: x", *draw(st.lists(HEADERS, max_size=3)), *proof, *length]
    line = b" ".join([draw(METHODS), draw(PATHS), draw(VERSIONS)])
    return b"\r\n".join([line, *headers, b"", sent])


@st.composite
def damaged(draw: st.DrawFn) -> list[bytes]:
    """Draw the data of one connection: requests, some with changed bytes, in pieces or not."""
    whole = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    if draw(st.booleans()):
        at = draw(st.integers(0, min(len(whole), 600)))
        whole = whole[:at] + draw(st.binary(max_size=5)) + whole[at + draw(st.integers(0, 5)) :]
    cut = draw(st.integers(0, len(whole)))
    return draw(st.sampled_from([[whole], [whole], [whole[:cut]], [whole[:cut], whole[cut:]]]))


hundreds = settings(
    max_examples=examples(400),
    # The receiver is meant to be the same for all; and requests are large things to draw.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@hundreds
@given(sent=damaged())
def test_any_data_gets_an_allowed_status_and_logs_no_traceback(
    receiver: str, caplog: pytest.LogCaptureFixture, sent: list[bytes]
) -> None:
    caplog.clear()
    answer = send_raw(receiver, *sent, moment_seconds=MOMENT_SECONDS)
    assert set(statuses(answer)) <= ALLOWED, answer[:500]
    assert [one for one in caplog.records if one.exc_info] == []
    assert statuses(send_raw(receiver, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == [
        200
    ]


def test_after_all_that_polar_is_served(receiver: str) -> None:
    assert disposition(receiver, PAID) == "accepted"


@hundreds
@given(soup=st.lists(HEADERS, max_size=4), body=BODIES, framing=st.data())
def test_only_correctly_signed_bytes_are_stored(
    receiver: str, redis: Redis, soup: list[bytes], body: bytes, framing: st.DataObject
) -> None:
    """Whatever the headers and lengths, the stored bytes are the signed ones, under the signed id."""
    length, sent = framing.draw(framed(body))
    proof = lines(signed(body, "msg-fuzz"))
    request = b"\r\n".join([b"POST /webhooks/polar HTTP/1.1", b"Host: x", *soup, *proof, *length, b"", sent])
    redis.flushall()
    answer = send_raw(receiver, request, moment_seconds=MOMENT_SECONDS)
    stored = [one.id for one in DeliveryStore(redis).newest()]
    assert stored in ([], ["msg-fuzz"])
    if stored:
        assert DeliveryStore(redis).body("msg-fuzz") == body
    if 202 in statuses(answer):
        assert stored
        assert json.loads(answer.rpartition(b"\r\n\r\n")[2]) == {
            "delivery": "msg-fuzz",
            "disposition": "accepted",
        }
