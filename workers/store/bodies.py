"""PURE but for one file: how a body is kept small, and read back byte for byte."""

import zlib
from functools import cache
from importlib.resources import files

# The first byte says how the rest is kept. A body that was stored as it came begins with neither.
_PLAIN = b"\x00"
_DEFLATED = b"\x01"  # with the dictionary of this number; another dictionary gets another number

_LEVEL = 6  # a fifth smaller than level 1, for ten microseconds more

# A window of 16 KiB holds the dictionary and a body. It is part of the format: who writes with a larger one
# cannot be read by who reads with this. Less memory to clear halves the time.
_WINDOW_BITS = -14
_MEMORY_LEVEL = 6

MOST_BYTES = 1024 * 1024  # of a body: the receiver takes no more; Polar's own are some 5 KB


def compress_body(body: bytes) -> bytes:
    """Return ``body`` as it is stored: never more than a byte longer, as a rule a sixth of it."""
    deflate = _deflate().copy()  # to have it read its dictionary again would take a fifth of the time
    packed = deflate.compress(body) + deflate.flush()
    if len(packed) >= len(body) or len(body) > MOST_BYTES:
        return _PLAIN + body
    return _DEFLATED + packed


def decompress_body(stored: bytes) -> bytes:
    """Return the body that is ``stored``; what nobody can have packed is returned as it is."""
    if stored[:1] == _PLAIN:
        return stored[1:]
    return _inflated(stored) if stored[:1] == _DEFLATED else stored


def _inflated(stored: bytes) -> bytes:
    # One damaged body must not keep a worker from all the others: it is no event, and fails as such.
    inflate = zlib.decompressobj(_WINDOW_BITS, _dictionary())
    try:
        body = inflate.decompress(stored[1:], MOST_BYTES + 1)  # the end is seen when there is room
    except zlib.error:
        return stored
    return body if inflate.eof else stored


@cache
def _deflate() -> "zlib._Compress":
    return zlib.compressobj(
        _LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, _dictionary()
    )


@cache
def _dictionary() -> bytes:
    """Return what bodies are expected to be made of: Polar's field names, in the order that it sends them."""
    lines = (files("workers.store") / "dictionaries" / "1.txt").read_bytes().splitlines()
    return b"".join(lines)
