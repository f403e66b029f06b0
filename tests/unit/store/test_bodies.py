"""How bodies are kept: small, byte for byte, and never in the way of others."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import order_webhook, some_id
from tests.support.recordings import PAYLOADS, payload
from workers.core.envelope import STORED_TYPES, peek_type
from workers.store import bodies
from workers.store.bodies import MOST_BYTES, compress_body, decompress_body

REAL = {path.stem: path.read_bytes() for path in PAYLOADS.glob("*.json") if ".headers" not in path.name}
STORED = [name for name, body in REAL.items() if peek_type(body) in STORED_TYPES]
DICTIONARY = Path(bodies.__file__).parent / "dictionaries" / "1.txt"


@pytest.mark.parametrize("name", REAL)
def test_real_bodies_are_restored_byte_for_byte(name: str) -> None:
    assert decompress_body(compress_body(REAL[name])) == REAL[name]


@given(st.binary(max_size=2000))
def test_any_bytes_are_restored_and_grow_by_at_most_one(body: bytes) -> None:
    assert decompress_body(compress_body(body)) == body
    assert len(compress_body(body)) <= len(body) + 1


@pytest.mark.parametrize("size", [MOST_BYTES - 1, MOST_BYTES, MOST_BYTES + 1])
@pytest.mark.parametrize("make", [bytes, lambda size: b"[" * size, os.urandom], ids=["zeros", "[", "noise"])
def test_the_largest_bodies_are_restored(make: Callable[[int], bytes], size: int) -> None:
    body = make(size)
    assert decompress_body(compress_body(body)) == body
    assert len(compress_body(body)) <= size + 1


def test_polars_webhooks_shrink_to_a_sixth() -> None:
    assert len(STORED) > 20
    before = sum(len(REAL[name]) for name in STORED)
    after = sum(len(compress_body(REAL[name])) for name in STORED)
    assert after < before * 0.18


def test_a_real_renewal_shrinks_to_less_than_a_fifth() -> None:
    body = payload("order_paid_subscription_cycle")
    assert len(compress_body(body)) < len(body) / 5


@pytest.mark.parametrize("body", [*REAL.values(), b"hello", b" {}", b"\xff", b"\x01", b""])
def test_an_uncompressed_body_can_still_be_read(body: bytes) -> None:
    """An older version compressed nothing."""
    assert decompress_body(body) == body


GOLDEN = (
    b'{"type":"customer.deleted","timestamp":"2026-11-01T00:00:00Z","data":'
    b'{"id":"5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11","email":"ada@example.com","external_id":null}}'
)
BY_FIRST_BYTE = {
    "0, as it was received": b"\x00" + GOLDEN,
    "1, deflated with dictionary 1": bytes.fromhex(
        "01abc6180984d67a682d58230323335d43435d03c31003032b308a426fd59aa69a241aa619a4ea9aa51826eb9aa419a6ea5a261a27"
        "e91a245ba418a5992799251a1a22d56ac0b2c021b502687c4e2aa8ae52426b3c407ae700"
    ),
    "none, before 0.1.0": GOLDEN,
}


@pytest.mark.parametrize("encoding", BY_FIRST_BYTE)
def test_a_body_in_each_encoding_that_there_ever_was_can_be_read(encoding: str) -> None:
    """Stored bytes, written down: a change of the dictionary or of the window would make them unreadable."""
    assert decompress_body(BY_FIRST_BYTE[encoding]) == GOLDEN


@pytest.mark.parametrize("damage", ["cut", "flipped", "more than anybody sends"])
def test_a_damaged_body_is_no_event_and_raises_nothing(damage: str) -> None:
    packed = compress_body(order_webhook(id=some_id(1)))
    deflate = zlib.compressobj(9, zlib.DEFLATED, -14)
    bomb = b"\x01" + deflate.compress(bytes(50 * MOST_BYTES)) + deflate.flush()
    stored = {
        "cut": packed[:-5],
        "flipped": packed[:1] + bytes(byte ^ 0xFF for byte in packed[1:]),
        "more than anybody sends": bomb,
    }[damage]
    assert decompress_body(stored) == stored
    assert peek_type(decompress_body(stored)) is None


def test_dictionary_1_never_changes() -> None:
    """Bodies stored with it cannot be read with another dictionary: a new one must be number 2."""
    words = b"".join(DICTIONARY.read_bytes().splitlines())
    assert (len(words), zlib.crc32(words)) == (5130, 0x91E1E82B)


def test_the_dictionary_contains_no_personal_data() -> None:
    """It has only what every body has: no value of a recorded webhook that could belong to a person."""
    words = DICTIONARY.read_text()
    for body in map(bytes.decode, REAL.values()):
        for field in ("email", "name", "external_id", "billing_name", "public_name", "id", "customer_id"):
            for rest in body.split(f'"{field}":"')[1:]:
                value = rest.partition('"')[0]
                assert f'"{value}"' not in words
