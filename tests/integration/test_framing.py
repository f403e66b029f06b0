"""Request smuggling: a request that a proxy could read differently is refused, signed or not."""

import time

import pytest
from redis import Redis

from app.receiver import connections as door
from tests.support.raw_http import post_with, send_raw, statuses
from tests.support.receivers import PAID, disposition, signed
from workers.store.deliveries import DeliveryStore

CHUNKED = b"Transfer-Encoding: chunked"
WHOLE = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PAID), PAID)
LENGTH = b"Content-Length: %d" % len(PAID)

SOON_SECONDS = 1
LONG_SECONDS = 4  # an idle connection is closed after five

# Large enough for any headers, small enough to cost little.
TOO_LONG = b"a" * 40_000


def webhook(*headers: bytes, body: bytes) -> bytes:
    """Return a request with the signature of a real webhook."""
    proof = [f"{name}: {value}".encode() for name, value in signed(PAID, "msg-1").items()]
    return post_with(*headers, *proof, body=body)


AMBIGUOUS = {
    "a length and chunks": webhook(LENGTH, CHUNKED, body=WHOLE),
    "chunks and a length": webhook(CHUNKED, LENGTH, body=WHOLE),
    "one length twice": webhook(LENGTH, LENGTH, body=PAID),
    "a list of lengths": webhook(LENGTH + b", %d" % len(PAID), body=PAID),
    "a length with a sign": webhook(b"Content-Length: +%d" % len(PAID), body=PAID),
    "a length in hexadecimal": webhook(b"Content-Length: 0x%x" % len(PAID), body=PAID),
    "a space before the colon": webhook(b"Content-Length : %d" % len(PAID), body=PAID),
    "a folded length": webhook(b"Content-Length:", b" %d" % len(PAID), body=PAID),
    "a line that ends in LF alone": webhook(LENGTH, b"A: b\nC: d", body=PAID),
    "a line that ends in CR alone": webhook(LENGTH, b"A: b\rC: d", body=PAID),
    "a null in a header": webhook(LENGTH, b"A: b\x00", body=PAID),
    "chunks twice": webhook(CHUNKED, CHUNKED, body=WHOLE),
    "chunks in another encoding": webhook(b"Transfer-Encoding: gzip, chunked", body=WHOLE),
    "chunks that are not the last": webhook(b"Transfer-Encoding: chunked, gzip", body=WHOLE),
    "almost chunks": webhook(b"Transfer-Encoding: xchunked", body=WHOLE),
    "chunks behind a control character": webhook(b"Transfer-Encoding: \x0bchunked", body=WHOLE),
    "chunks by an older HTTP": webhook(CHUNKED, body=WHOLE).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "chunks that end in LF alone": webhook(CHUNKED, body=WHOLE.replace(b"\r\n", b"\n")),
    "a chunk's size in C": webhook(CHUNKED, body=b"0x" + WHOLE),
    "a chunk's size with a sign": webhook(CHUNKED, body=b"+" + WHOLE),
    "a chunk that is longer than it says": webhook(CHUNKED, body=WHOLE.replace(b"\r\n0\r\n", b"x\r\n0\r\n")),
    "a length in the trailers": webhook(CHUNKED, body=WHOLE[:-2] + b"Content-Length: 1\r\n\r\n"),
    "a trailer that closes": webhook(CHUNKED, body=WHOLE[:-2] + b"Connection: close\r\n\r\n"),
    "a trailer that closes a proxy's": webhook(CHUNKED, body=WHOLE[:-2] + b"Proxy-Connection: close\r\n\r\n"),
    "two hosts": webhook(LENGTH, b"Host: y", body=PAID),
    "no host": webhook(LENGTH, body=PAID).replace(b"Host: x\r\n", b""),
    "an HTTP that nobody speaks": webhook(LENGTH, body=PAID).replace(b"HTTP/1.1", b"HTTP/2.0"),
    "a body and an upgrade": webhook(LENGTH, b"Connection: upgrade", b"Upgrade: h2c", body=PAID),
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_an_ambiguous_request_is_refused_and_never_stored(receiver: str, redis: Redis, sent: bytes) -> None:
    answer = send_raw(receiver, sent, hang_up=False)
    assert statuses(answer) == [400]
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert redis.keys("credits:delivery:*") == []


ENDLESS = {
    "a path": b"POST /" + TOO_LONG,
    "a header's name": post_with(TOO_LONG)[:-4],
    "a header's value": post_with(b"A: " + TOO_LONG)[:-4],
    "many headers": post_with(*[b"A: b"] * 10_000)[:-4],
    "blank lines": b"\r\n" * 20_000,
    "a remark on a chunk": post_with(CHUNKED, body=b"1;a=" + TOO_LONG),
    "a trailer": post_with(CHUNKED, body=b"0\r\nA: " + TOO_LONG),
    "many trailers": post_with(CHUNKED, body=b"0\r\n" + b"A: b\r\n" * 10_000),
}


@pytest.mark.parametrize("sent", ENDLESS.values(), ids=ENDLESS.keys())
@pytest.mark.parametrize("piece_bytes", [100_000, 1000])
def test_an_endless_request_is_aborted_before_it_fills_the_memory(
    receiver: str, monkeypatch: pytest.MonkeyPatch, sent: bytes, piece_bytes: int
) -> None:
    monkeypatch.setattr(door, "_REQUEST_SECONDS", 3600)  # or it would end for taking too long
    pieces = [sent[i : i + piece_bytes] for i in range(0, len(sent), piece_bytes)]
    answer = send_raw(receiver, *pieces, hang_up=False, moment_seconds=0)
    assert statuses(answer) in ([400], [])  # a client that still sends when we close may miss the answer


CRUMBS = {
    "headers": post_with(*[b"a: b"] * 2000, LENGTH)[:-4],
    "headers that end": post_with(*[b"a: b"] * 2000, LENGTH),
    "trailers": post_with(CHUNKED, body=b"0\r\n" + b"a: b\r\n" * 2000),
}


@pytest.mark.parametrize("sent", CRUMBS.values(), ids=CRUMBS.keys())
def test_too_many_tiny_headers_are_refused(
    receiver: str, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """These 12 KB take 320 KB of Python's memory, and there may be hundreds of connections."""
    monkeypatch.setattr(
        door, "_REQUEST_SECONDS", SOON_SECONDS
    )  # then the connection closes without an answer
    assert statuses(send_raw(receiver, sent, hang_up=False)) == [400]


def test_a_hundred_headers_are_accepted(receiver: str) -> None:
    """Polar sends ten, and proxies add a few."""
    assert statuses(send_raw(receiver, webhook(LENGTH, *[b"a: b"] * 95, body=PAID))) == [202]


def test_headers_of_sixteen_kilobytes_are_accepted(receiver: str) -> None:
    assert statuses(send_raw(receiver, webhook(b"A: " + b"a" * 15_000, LENGTH, body=PAID))) == [202]


def test_trailers_are_not_headers(receiver: str, redis: Redis) -> None:
    """The signature is in the headers; what is added after the body changes nothing."""
    trailers = b"webhook-id: msg-2\r\nwebhook-signature: v1,x\r\n\r\n"
    assert statuses(send_raw(receiver, webhook(CHUNKED, body=WHOLE[:-2] + trailers))) == [202]
    assert [one.id for one in DeliveryStore(redis).newest()] == ["msg-1"]
    late = post_with(CHUNKED, body=WHOLE[:-2] + webhook(body=b"").partition(b"Host: x\r\n")[2])
    assert statuses(send_raw(receiver, late)) == [403]


def test_a_space_after_the_encoding_is_ignored(receiver: str) -> None:
    assert statuses(send_raw(receiver, webhook(CHUNKED + b" ", body=WHOLE))) == [202]


def test_a_request_for_an_upgrade_is_answered_without_one(receiver: str) -> None:
    """Java clients ask for one in each first request; the parser cannot go on after it."""
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    answer = send_raw(receiver, request, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", hang_up=False)
    assert statuses(answer) == [200]


def test_a_body_that_becomes_invalid_is_refused_once(receiver: str, redis: Redis) -> None:
    answer = send_raw(receiver, webhook(CHUNKED, body=b"1\r\n{\r\n"), b"zz\r\n", hang_up=False)
    assert statuses(answer) == [400]
    assert redis.keys("credits:delivery:*") == []


def test_invalid_data_after_an_answer_gets_no_second_answer(receiver: str) -> None:
    """A proxy would take it for the answer to another client's request."""
    answer = send_raw(receiver, post_with(CHUNKED, path=b"/livez"), b"zz\r\n", hang_up=False)
    assert statuses(answer) == [405]


def test_a_request_answered_before_its_body_arrived_is_read_to_its_end(receiver: str) -> None:
    """The next request begins where the body ends, not within it."""
    hidden = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    first = post_with(b"Content-Length: %d" % len(hidden), path=b"/nowhere")
    assert statuses(send_raw(receiver, first, hidden, hidden)) == [404, 200]


def test_a_connection_that_a_trailer_closes_after_the_answer_is_closed(receiver: str) -> None:
    """The parser would swallow the next request, and a proxy would wait for its answer."""
    trailer = b"0\r\nConnection: close\r\n\r\n"
    begun = time.monotonic()
    answer = send_raw(receiver, post_with(CHUNKED, path=b"/nowhere"), trailer, hang_up=False)
    assert statuses(answer) == [404]
    assert time.monotonic() - begun < LONG_SECONDS


@pytest.mark.parametrize("path", [b"/nowhere", b"/livez"])
def test_a_refused_expectation_closes_the_connection(receiver: str, path: bytes) -> None:
    """Some proxies then send another request instead of the body. It would be taken for the body."""
    begun = time.monotonic()
    request = post_with(b"Expect: 100-continue", b"Content-Length: 5000", path=path)
    answer = send_raw(receiver, request, hang_up=False)
    assert statuses(answer) in ([404], [405])
    assert b"\r\nconnection: close\r\n" in answer
    assert time.monotonic() - begun < LONG_SECONDS


def test_an_older_http_gets_no_interim_answer(receiver: str) -> None:
    """Its clients would take it for the answer."""
    request = webhook(LENGTH, b"Expect: 100-continue", body=PAID).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert statuses(send_raw(receiver, request, hang_up=False)) == [202]


def test_pipelined_requests_are_not_answered(receiver: str) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    assert statuses(send_raw(receiver, request * 3, hang_up=False)) == []


def test_after_a_refused_request_the_next_sender_is_served(receiver: str) -> None:
    send_raw(receiver, AMBIGUOUS["a length and chunks"], hang_up=False)
    assert disposition(receiver, PAID) == "accepted"
