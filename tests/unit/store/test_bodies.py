"""How bodies are kept: small, byte for byte, and never in the way of others."""

import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import order_webhook, some_id
from tests.support.recordings import PAYLOADS, payload
from workers.core.envelope import STORED_TYPES, peek_type
from workers.store import bodies
from workers.store.bodies import MOST_BYTES, compress_body, decompress_body

REAL = {path.stem: path.read_bytes() for path in PAYLOADS.glob("*.json") if ".headers" not in path.name}
STORED = [name for name, body in REAL.items() if peek_type(body) in STORED_TYPES]
DICTIONARIES = Path(bodies.__file__).parent / "dictionaries"


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
    "2, compressed by zstd with dictionary 2": bytes.fromhex(
        "0228b52ffd20a0550200c3830a4d68422482451c90c4151f9920bd791bbaeb18b5ddf7cb8e397c7beafc7cfcf4f1d8edf3f0474dfd02"
        "9509fcc8a6f006e607cb6de2ad7d95f9982d0ccbb30c32a9de790dab4822"
    ),
    "none, before 0.1.0": GOLDEN,
}


@pytest.mark.parametrize("encoding", BY_FIRST_BYTE)
def test_a_body_in_each_encoding_that_there_ever_was_can_be_read(encoding: str) -> None:
    """Stored bytes, written down: a change of the dictionary or of the window would make them unreadable."""
    assert decompress_body(BY_FIRST_BYTE[encoding]) == GOLDEN


def _damaged() -> dict[str, bytes]:
    packed = compress_body(order_webhook(id=some_id(1)))
    deflate = zlib.compressobj(9, zlib.DEFLATED, -14)
    huge = bytes(50 * MOST_BYTES)
    return {
        "cut": packed[:-5],
        "cut within its header": packed[:4],
        "longer": packed + b"x",
        "flipped": packed[:1] + bytes(byte ^ 0xFF for byte in packed[1:]),
        "deflated, cut": BY_FIRST_BYTE["1, deflated with dictionary 1"][:-5],
        "deflated, more than anybody sends": b"\x01" + deflate.compress(huge) + deflate.flush(),
        "more than anybody sends": b"\x02" + zstandard.compress(huge),
        "of unknown size": b"\x02" + zstandard.ZstdCompressor(write_content_size=False).compress(huge),
    }


@pytest.mark.parametrize("damage", _damaged())
def test_a_damaged_body_is_no_event_and_raises_nothing(damage: str) -> None:
    stored = _damaged()[damage]
    assert decompress_body(stored) == stored
    assert peek_type(decompress_body(stored)) is None


@given(body=st.sampled_from([REAL[name] for name in STORED]), at=st.integers(0), byte=st.integers(0, 255))
def test_a_body_with_any_byte_changed_raises_nothing_and_takes_no_more_memory(
    body: bytes, at: int, byte: int
) -> None:
    stored = bytearray(compress_body(body))
    stored[at % len(stored)] = byte
    assert len(decompress_body(bytes(stored))) <= MOST_BYTES


def test_threads_compress_and_restore_at_the_same_time() -> None:
    all_bodies = [*REAL.values()] * 20
    with ThreadPoolExecutor(8) as threads:
        stored = list(threads.map(compress_body, all_bodies))
        assert list(threads.map(decompress_body, stored)) == all_bodies


@pytest.mark.parametrize(
    ("file", "length", "checksum"), [("1.txt", 5130, 0x91E1E82B), ("2.zdict", 16_384, 0x851DA794)]
)
def test_a_dictionary_never_changes(file: str, length: int, checksum: int) -> None:
    """Bodies stored with it cannot be read with another dictionary: a new one must get a new number."""
    content = (DICTIONARIES / file).read_bytes()
    used = b"".join(content.splitlines()) if file == "1.txt" else content
    assert (len(used), zlib.crc32(used)) == (length, checksum)


@pytest.mark.parametrize("file", ["1.txt", "2.zdict"])
def test_a_dictionary_contains_no_personal_data(file: str) -> None:
    """It has only what every body has: no value of a recorded webhook that could belong to a person."""
    words = (DICTIONARIES / file).read_text(errors="replace")
    for body in map(bytes.decode, REAL.values()):
        for field in ("email", "name", "external_id", "billing_name", "public_name", "id", "customer_id"):
            for rest in body.split(f'"{field}":"')[1:]:
                value = rest.partition('"')[0]
                assert f'"{value}"' not in words
