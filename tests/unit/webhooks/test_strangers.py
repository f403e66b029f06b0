"""Whatever comes from outside, signed or not, breaks nothing."""

import json

from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.receivers import ID, RawHeaders, Receiver, signed

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
