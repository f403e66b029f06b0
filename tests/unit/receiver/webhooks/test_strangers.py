"""No request from outside, signed or not, breaks anything."""

import json
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from app.receiver.signature import sign
from tests.support.examples import examples
from tests.support.receivers import ID, PAID, RawHeaders, Receiver, signed

HEADER_NAMES = st.sampled_from(
    [
        b"webhook-id",
        b"webhook-timestamp",
        b"webhook-signature",
        b"Webhook-Signature",
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"host",
        b"authorization",
        b"x-forwarded-for",
    ]
)

HEADER_VALUES = st.binary(max_size=40) | st.sampled_from(
    [
        ID.encode(),
        b"a" * 201,
        b"0",
        b"9" * 12,
        b"1e400",
        b"\xb2\xb3",
        b"v1,",
        b"v1,aGVsbG8=",
        b"v1," + b"A" * 43 + b"=",
        b"v1,%b=" % (b"A" * 43) * 9,
        b"v2,v1,a",
        b"gzip",
        b"chunked",
        b"9" * 5000,
    ]
)
SOUP = st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=8)
BODIES = st.binary(max_size=200) | st.sampled_from([PAID, b"[" * 10_000, b'{"type":' + b"1" * 10_000 + b"}"])

thousands = settings(max_examples=examples(1000))


def alike(soup: RawHeaders) -> RawHeaders:
    """Return ``soup`` with Polar's other headers added, so that signatures get compared."""
    names = {name.lower() for name, _ in soup}
    forged = sign("whsec_other", ID, int(time.time()), b"")
    return soup + [
        (key.encode(), value.encode()) for key, value in forged.items() if key.encode() not in names
    ]


@thousands
@given(soup=SOUP | SOUP.map(alike), body=BODIES)
def test_unsigned_requests_are_always_refused(soup: RawHeaders, body: bytes) -> None:
    receiver = Receiver()
    assert receiver.ask(headers=soup, content=body).status_code in {403, 413}
    assert receiver.redis.stored == {}


@thousands
@given(soup=SOUP, body=BODIES, away=st.booleans())
def test_signed_requests_are_stored_or_refused_and_nothing_breaks(
    soup: RawHeaders, body: bytes, away: bool
) -> None:
    receiver = Receiver()
    receiver.redis.fault = RedisConnectionError("away") if away else None
    good = [(name.encode(), value.encode()) for name, value in signed(body).items()]
    answer = receiver.ask(headers=soup + good, content=body)
    assert answer.status_code in ({403, 413, 503} if away else {202, 403, 413})
    assert list(receiver.redis.stored.values()) == ([body] if answer.status_code == 202 else [])


TEXTS = st.text(max_size=10)

EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["order.paid", "order.refunded", "customer.created", "a", 1, None]) | TEXTS,
        "data": st.dictionaries(TEXTS, st.none() | TEXTS | st.integers() | st.lists(TEXTS)) | TEXTS,
    }
)


@thousands
@given(event=EVENTS)
def test_any_signed_event_is_accepted(event: dict[str, object]) -> None:
    receiver = Receiver()
    answer = receiver.deliver(json.dumps(event).encode())
    assert answer.status_code == 202
    assert bool(receiver.redis.stored) == (answer.json()["disposition"] == "accepted")
