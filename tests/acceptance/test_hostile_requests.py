"""Hostile requests to the storefront API: each is refused, none gets a 5xx or reaches anything else."""

import os
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER
from tests.support.raw_http import send_raw, statuses
from tests.support.storefronts import API_TOKEN, Storefront, storefront

pytestmark = pytest.mark.heavy  # a hundred requests, some of megabytes

TOKEN = b"Authorization: Bearer " + API_TOKEN.encode()
CHUNKED = b"Transfer-Encoding: chunked"
JSON = b"Content-Type: application/json"


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: x", *headers, b"", body])


def asked(path: bytes, *headers: bytes) -> bytes:
    """Return a request with the right token."""
    return request(b"GET " + path, TOKEN, *headers)


def offered(body: bytes, *headers: bytes, path: bytes = b"/v1/offers/referral?wait=9") -> bytes:
    """Return a request for an offer with the right token and this body."""
    return request(b"POST " + path, TOKEN, b"Content-Length: %d" % len(body), *headers, body=body)


def named(id_: bytes) -> bytes:
    return offered(b'{"key": "k-1", "external_customer_id": "%b"}' % id_, JSON)


ORDER_PATH = b"/v1/orders/" + ORDER.encode()
CREDITS = b"/v1/customers/%b/credits"
EXTERNAL = b"/v1/customers/external/%b/credits"
GOOD = b'{"key": "k-1", "customer_id": "%b"}' % CUSTOMER.encode()

WAITS = (b"NaN", b"1e309", b"-1", b"21", b"1&wait=1", b"", b"%00", b"0x1", b"1.5", b"%2b1", b"9" * 9999)

REFUSED = {
    "a body of a megabyte": offered(b" " * 1_000_000),
    "a body of two megabytes": offered(b" " * 2_000_000),
    "a body of 4 kB and a byte": offered(GOOD + b" " * (4097 - len(GOOD))),
    "no body": offered(b""),
    "no JSON": offered(b"{", JSON),
    "null": offered(b"null", JSON),
    "a list": offered(b"[]", JSON),
    "a number without end": offered(b"1" * 4000, JSON),
    "a float out of range": offered(b'{"key": 1e309}', JSON),
    "NaN": offered(b'{"key": NaN}', JSON),
    "a thousand levels": offered(b"[" * 2000 + b"]" * 2000, JSON),
    "a thousand objects": offered(b'{"a":' * 700, JSON),
    "no UTF-8": offered(b'{"key": "\xff\xfe", "customer_id": "x"}', JSON),
    "half a surrogate": named(rb"\ud800"),
    "a null in an id": named(rb"a\u0000b"),
    "a line break in an id": named(rb"a\nb: c"),
    "the way up in an id": named(b"../../admin"),
    "two dots for an id": named(b".."),
    "an emoji for an id": named("😀".encode()),
    "200 emojis for an id": named("😀".encode() * 200),
    "an id of 10 kB": named(b"x" * 10_000),
    "an id that turns the direction of writing": named("\u202eabc".encode()),
    "the same key twice": offered(b'{"key": "k", "key": "l", "customer_id": "x"}', JSON),
    "a form": offered(b"key=k-1&customer_id=x", b"Content-Type: application/x-www-form-urlencoded"),
    "many parts": offered(b"--x\r\n\r\n--x--", b"Content-Type: multipart/form-data; boundary=x"),
    "a packed body": offered(b"\x1f\x8b\x08\x00", JSON, b"Content-Encoding: gzip"),
    "a content type of bytes": offered(GOOD[:-1], b"Content-Type: \xff\xfe"),
    "another alphabet": offered(GOOD.decode().encode("utf-16"), JSON + b"; charset=utf-16"),
    "an offer of 10 kB": offered(GOOD, path=b"/v1/offers/" + b"x" * 10_000),
    "an offer with a null": offered(GOOD, path=b"/v1/offers/a%00b"),
    "an offer outside": offered(GOOD, path=b"/v1/offers/..%2f..%2fv1"),
    "a thousand tokens": request(b"GET " + ORDER_PATH, *[b"Authorization: Bearer x"] * 1000),
    "two tokens, the right one first": asked(ORDER_PATH, b"Authorization: Bearer wrong"),
    "two tokens, the right one last": request(b"GET " + ORDER_PATH, b"Authorization: Bearer wrong", TOKEN),
    "a token of bytes": request(b"GET " + ORDER_PATH, b"Authorization: Bearer \xff\xfe\x80"),
    "a token in Arabic": request(b"GET " + ORDER_PATH, "Authorization: Bearer رمز".encode()),
    "a token of 15 kB": request(b"GET " + ORDER_PATH, b"Authorization: Bearer " + b"x" * 15_000),
    "a token of 100 kB": request(b"GET " + ORDER_PATH, b"Authorization: Bearer " + b"x" * 100_000),
    "another scheme": request(b"GET " + ORDER_PATH, b"Authorization: Basic eDp5"),
    "ten thousand headers": asked(ORDER_PATH, *(b"X-%d: y" % number for number in range(10_000))),
    "a header of 100 kB": asked(ORDER_PATH, b"X: " + b"y" * 100_000),
    "an order of 10 kB": asked(b"/v1/orders/" + b"a" * 10_000),
    "an order of 100 kB": asked(b"/v1/orders/" + b"a" * 100_000),
    "an order with a null": asked(ORDER_PATH + b"%00"),
    "an order in another alphabet": asked("/v1/orders/订单".encode()),
    "an order outside": asked(b"/v1/orders/..%2f..%2flivez"),
    "an order that is a pattern": asked(b"/v1/orders/*"),
    "an order that is a command": asked(b"/v1/orders/%0d%0aFLUSHALL%0d%0a"),
    "a customer outside": asked(EXTERNAL % b"..%2f.."),
    "a customer of dots": asked(EXTERNAL % b"%2e%2e"),
    "a customer with a null": asked(EXTERNAL % b"a%00b"),
    "a customer with line breaks": asked(EXTERNAL % b"a%0d%0ab"),
    "a customer of half a character": asked(EXTERNAL % b"%ff%c3"),
    "a customer with a query": asked(EXTERNAL % b"a%3fb%23c"),
    "a customer of 10 kB": asked(EXTERNAL % (b"x" * 10_000)),
    "a customer who is no UUID": asked(CREDITS % b"%00"),
    **{f"a wait of {wait.decode()[:12]}": asked(ORDER_PATH + b"?wait=" + wait) for wait in WAITS},
    "the wrong method": request(b"DELETE " + ORDER_PATH, TOKEN),
    "a method of its own": request(b"BREW " + ORDER_PATH, TOKEN),
    "everything": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a question of a browser": request(b"OPTIONS " + ORDER_PATH, b"Origin: http://x"),
    "a trace": request(b"TRACE " + ORDER_PATH, TOKEN),
    "a tunnel": request(b"CONNECT elsewhere:443", TOKEN),
    "a HEAD without a token": request(b"HEAD " + ORDER_PATH),
    "a length beside chunks": offered(b"0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n", CHUNKED),
    "two lengths": offered(GOOD, b"Content-Length: 1"),
    "two encodings": request(b"POST /v1/offers/a", TOKEN, CHUNKED, b"Transfer-Encoding: identity"),
    "a chunk of vast size": request(b"POST /v1/offers/a", TOKEN, CHUNKED, body=b"f" * 30 + b"\r\nabc"),
    "chunks without end": request(
        b"POST /v1/offers/a", TOKEN, CHUNKED, body=b"400\r\n%b\r\n" % (b"x" * 1024) * 900
    ),
    "a body of which half comes": request(b"POST /v1/offers/a", TOKEN, b"Content-Length: 90", body=b"{"),
    "fifty requests at once": asked(ORDER_PATH) * 50,
    "a space before the colon": asked(ORDER_PATH, b"Content-Length : 5"),
    "line feeds alone": b"GET /v1/orders/x HTTP/1.1\nHost: x\n\n",
    "no host": b"GET /v1/orders/x HTTP/1.1\r\n\r\n",
    "a forged address": request(b"GET " + ORDER_PATH, b"X-Forwarded-For: 127.0.0.1", b"X-Real-IP: ::1"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
}

# These are odd, but mean something: the rest of what was sent is ignored.
ANSWERED = {
    "a request in the body of another": request(
        b"GET " + ORDER_PATH,
        TOKEN,
        b"Content-Length: 38",
        body=b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n12345",
    ),
    "an upgrade": asked(ORDER_PATH, b"Connection: upgrade", b"Upgrade: h2c"),
    "the oldest HTTP": b"GET " + ORDER_PATH + b" HTTP/1.0\r\n" + TOKEN + b"\r\n\r\n",
    "a head alone": request(b"HEAD " + ORDER_PATH, TOKEN),
    "a parameter that is unknown": asked(ORDER_PATH + b"?a=%00&b=%ff&wait=1"),
    "a longest wait": asked(ORDER_PATH + b"?wait=20"),
    "a hundred commas": asked(ORDER_PATH, b"Accept: " + b"," * 100),
}


@pytest.fixture(scope="module")
def shop(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storefront]:
    """Yield the service that all tests share: what one sends must not harm the next."""
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    with storefront(tmp_path_factory.mktemp("shop"), redis_url) as shop:
        yield shop


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
def test_a_request_that_means_nothing_is_refused(shop: Storefront, sent: bytes) -> None:
    answer = send_raw(shop.url, sent, moment_seconds=3)
    assert all(400 <= status < 500 for status in statuses(answer)), answer[:300]
    assert_well(shop)


@pytest.mark.parametrize("sent", ANSWERED.values(), ids=ANSWERED.keys())
def test_a_request_that_means_something_is_answered_once(shop: Storefront, sent: bytes) -> None:
    assert statuses(send_raw(shop.url, sent, moment_seconds=3)) == [200]
    assert_well(shop)


def assert_well(shop: Storefront) -> None:
    """Check that a right request is answered rightly, that nothing was given, and that no code failed."""
    answer = shop.get(f"/v1/orders/{ORDER}")
    assert (answer.status_code, answer.json()["credits"]) == (200, {"api_usage": 100})
    assert len(shop.polar.events) == 1  # of the order
    assert "Traceback" not in shop.up.said


def test_the_api_has_a_lower_priority_than_what_stores_and_grants(shop: Storefront) -> None:
    priority = {
        name: os.getpriority(os.PRIO_PROCESS, shop.up.part(name)) for name in ("receiver", "worker", "api")
    }
    assert priority["receiver"] == priority["worker"] < priority["api"]
