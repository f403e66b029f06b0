"""Hostile bytes: none end the receiver, make it log a traceback, or stop it from serving."""

import select
from contextlib import ExitStack

import httpx
import pytest
from redis import Redis

from tests.support.raw_http import post_with, read_until_closed, send_raw, statuses, wire_to
from tests.support.receivers import PAID, PATH, disposition, left_in, signed
from workers.store import keys
from workers.store.bodies import MOST_BYTES

CHUNKED = [b"Transfer-Encoding: chunked"]

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
    "a chunk of no size": post_with(*CHUNKED, body=b"zz\r\nabc\r\n"),
    "a chunk of vast size": post_with(*CHUNKED, body=b"f" * 30 + b"\r\nabc"),
    "a chunk that is cut off": post_with(*CHUNKED, body=b"ff\r\nabc"),
    "an unknown encoding": post_with(b"Transfer-Encoding: rot13", body=b"abc"),
    "an upgrade": post_with(b"Upgrade: websocket", b"Connection: upgrade", b"Content-Length: 0"),
    "an expectation": post_with(b"Expect: 100-continue", b"Content-Length: 10"),
    "a null in the body": post_with(b"Content-Length: 3", body=b"\x00\x00\x00"),
    "an older HTTP": b"GET /livez HTTP/1.0\r\n\r\n",
    "a whole address": b"GET http://elsewhere/livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "everything": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a host of bytes": b"GET /livez HTTP/1.1\r\nHost: \xff[::\r\n\r\n",
    "a null in the path": b"GET /livez%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "two slashes": b"GET //elsewhere/..%2f HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header of 60 KB": post_with(b"A: " + b"a" * 60_000, b"Content-Length: 0"),
    "two hundred headers": post_with(*[b"A: b"] * 200, b"Content-Length: 0"),
    "a forged origin": post_with(b"X-Forwarded-For: [::1, \xff:99999999999", b"X-Forwarded-Proto: \xff"),
    "a long remark on a chunk": post_with(*CHUNKED, body=b"1;a=" + b"b" * 30_000 + b"\r\nx\r\n0\r\n\r\n"),
    "a long trailer": post_with(*CHUNKED, body=b"0\r\nA: " + b"b" * 30_000 + b"\r\n\r\n"),
    "many at once": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
    "garbage after a request": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n\x00\x01\r\n\r\n",
    "a bad chunk for who takes no body": post_with(*CHUNKED, body=b"zz\r\n", path=b"/livez"),
    "a bad chunk for nobody": post_with(*CHUNKED, body=b"zz\r\n", path=b"/nowhere"),
    "a bad chunk of far too much": post_with(*CHUNKED, b"Content-Length: 9999999", body=b"zz\r\n"),
    "a bad chunk after an answer": (post_with(*CHUNKED, path=b"/livez"), b"zz\r\n"),
    "a bad chunk after a refusal": (post_with(*CHUNKED, path=b"/nowhere"), b"5\r\nabcde\r\nzz\r\n"),
    "a bad chunk after a HEAD": b"HEAD / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "garbage after an answer": (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00\x01\r\n\r\n"),
    "a bad chunk while one is read": (post_with(*CHUNKED, body=b"1\r\n{\r\n"), b"zz\r\n"),
}


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE.keys())
def test_no_garbage_gives_a_500_or_a_traceback_or_ends_the_receiver(
    receiver: str, redis: Redis, sent: bytes | tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    answer = send_raw(receiver, *([sent] if isinstance(sent, bytes) else sent))
    assert all(status < 500 for status in statuses(answer)), answer[:200]
    assert [one for one in caplog.records if one.exc_info] == []
    # A refusal is counted, and nothing is stored. The note about webhooks may be that of an earlier test.
    assert set(redis.keys()) <= {keys.COUNTS.encode(), keys.WEBHOOKS.encode()}
    assert disposition(receiver, PAID) == "accepted"


def test_a_good_signature_over_half_a_body_stores_nothing(receiver: str, redis: Redis) -> None:
    headers = [f"{name}: {value}".encode() for name, value in signed(PAID, "msg-1").items()]
    request = post_with(*headers, b"Content-Length: %d" % len(PAID), body=PAID[:-10])
    assert 202 not in statuses(send_raw(receiver, request))
    assert left_in(redis) == []


def test_slow_senders_do_not_delay_others(receiver: str) -> None:
    """A hundred slow senders hold their connections while another is served."""
    with ExitStack() as slow:
        wires = [slow.enter_context(wire_to(receiver)) for _ in range(100)]
        for wire in wires:
            wire.sendall(post_with(b"Content-Length: 1000", body=b"{"))
        assert disposition(receiver, PAID) == "accepted"
        for wire in wires:
            wire.sendall(b" ")
    assert disposition(receiver, PAID) == "duplicate"


def chunks(size_bytes: int) -> bytes:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    return chunk * (size_bytes // 0x8000)


def test_a_chunked_body_that_is_too_large_is_answered_before_it_ends(receiver: str, redis: Redis) -> None:
    """Nothing is sent after the first byte too many, so waiting for the end would last for ever."""
    body = chunks(MOST_BYTES) + b"1\r\nx\r\n"
    answer = send_raw(receiver, post_with(*CHUNKED, body=body), hang_up=False)
    assert statuses(answer) == [413]
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert left_in(redis) == []


def in_chunks_of(size_bytes: int, body: bytes) -> bytes:
    """Return a signed webhook in chunks."""
    headers = [f"{name}: {value}".encode() for name, value in signed(body, f"msg-{size_bytes}").items()]
    pieces = [body[i : i + size_bytes] for i in range(0, len(body), size_bytes)]
    sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return post_with(*CHUNKED, *headers, body=sent + b"0\r\n\r\n")


def test_a_body_in_too_many_chunks_is_aborted(receiver: str, redis: Redis) -> None:
    """Each chunk costs as much as a header: some megabytes a second would keep Polar out."""
    assert statuses(send_raw(receiver, in_chunks_of(1, PAID))) == []
    assert left_in(redis) == []


def test_tiny_chunks_in_a_pipelined_request_are_aborted_as_well(receiver: str, redis: Redis) -> None:
    """No legitimate client pipelines requests; the second one is not even read."""
    first = b"GET /livez HTTP/1.1\r\nHost: receiver\r\n\r\n"
    send_raw(receiver, first + in_chunks_of(1, PAID))
    assert left_in(redis) == []


def test_a_body_in_a_few_hundred_chunks_is_accepted(receiver: str) -> None:
    assert statuses(send_raw(receiver, in_chunks_of(8, PAID))) == [202]


def test_a_length_that_is_too_large_is_answered_before_the_body(receiver: str) -> None:
    request = post_with(b"Content-Length: %d" % (MOST_BYTES + 1))
    assert statuses(send_raw(receiver, request, hang_up=False)) == [413]


def test_a_sender_that_is_busy_sending_a_body_too_large_still_gets_the_answer(receiver: str) -> None:
    """As Caddy, which reads the answer only after it has sent all. A reset would delete the answer."""
    start = post_with(b"Content-Length: %d" % (2 * MOST_BYTES))
    with wire_to(receiver) as wire:
        wire.sendall(start)
        assert select.select([wire], [], [], 10)[0]  # it has answered
        for _ in range(2):
            wire.sendall(b"x" * MOST_BYTES)
        assert statuses(read_until_closed(wire)) == [413]


def test_two_mebibytes_in_chunks_that_are_sent_anyway_do_no_harm(receiver: str, redis: Redis) -> None:
    """The sender may miss the answer, because it does not stop to read it."""
    body = chunks(2 * MOST_BYTES) + b"0\r\n\r\n"
    answer = send_raw(receiver, post_with(*CHUNKED, body=body))
    assert statuses(answer) in ([413], [])
    assert left_in(redis) == []
    assert disposition(receiver, PAID) == "accepted"


def test_unknown_paths_and_methods_get_404_and_405(receiver: str) -> None:
    assert httpx.get(receiver + PATH).status_code == 405
    assert httpx.get(receiver + "/").status_code == 404
    assert httpx.get(receiver + "/metrics").status_code == 404
    assert httpx.post(receiver + "/readyz").status_code == 405


def test_a_strangers_token_of_any_bytes_breaks_nothing(receiver: str) -> None:
    request = (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\x80\r\nConnection: close\r\n\r\n"
    )
    answer = send_raw(receiver, request, hang_up=False)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"checks" not in answer
