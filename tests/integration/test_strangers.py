"""Strangers on the wire: no bytes end the receiver or keep it from its work."""

import select
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from app.webhooks import MOST_BYTES
from tests.receivers import PAID, PATH, disposition, signed

# For an answer to what is no whole request, if there is one.
MOMENT_SECONDS = 0.2


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


def test_a_strangers_token_of_any_bytes_breaks_nothing(receiver: str) -> None:
    request = (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\x80\r\nConnection: close\r\n\r\n"
    )
    answer = raw(receiver, request, hang_up=False)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"checks" not in answer
