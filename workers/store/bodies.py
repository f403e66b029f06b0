"""Compresses the bodies of deliveries, and restores them byte for byte. Pure, but for reading two files."""

import threading
import zlib
from functools import cache
from importlib.resources import files

import zstandard

# The first byte tells how the rest is stored. Plain JSON, as it was received, begins with none of these.
_PLAIN = b"\x00"
_DEFLATED = b"\x01"  # with dictionary 1; written before 0.1.0
_ZSTD = b"\x02"  # with dictionary 2; a new dictionary gets a new number

# A small table of long matches fits into the processor's cache. Those of level 3 are 24 times as large, and
# push out what else a webhook needs, for bodies that are 2 % smaller.
_FAST = zstandard.ZstdCompressionParameters.from_level(1, hash_log=12, min_match=7, write_dict_id=False)
_WINDOW_BITS = -14  # of deflated bodies: part of their format

MOST_BYTES = 1024 * 1024  # the receiver accepts no larger body; Polar's have about 5 KB


def compress_body(body: bytes) -> bytes:
    """Return ``body`` as it is stored: usually a sixth of its size, at most one byte longer."""
    packed = _codec.compressor.compress(body)
    if len(packed) >= len(body) or len(body) > MOST_BYTES:
        return _PLAIN + body
    return _ZSTD + packed


def decompress_body(stored: bytes) -> bytes:
    """Return the body that is ``stored``; what ``compress_body`` cannot have made is returned as it is."""
    match stored[:1]:
        case b"\x00":
            return stored[1:]
        case b"\x01":
            return _inflated(stored)
        case b"\x02":
            return _decompressed(stored)
    return stored


# A damaged body must not stop the worker: it is returned as it is, and fails because it is no event.


def _decompressed(stored: bytes) -> bytes:
    packed = stored[1:]
    try:
        # Its memory is taken before it is read, so its size is read first.
        if not 0 <= zstandard.frame_content_size(packed) <= MOST_BYTES:
            return stored
        return _codec.decompressor.decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError:
        return stored


def _inflated(stored: bytes) -> bytes:
    inflate = zlib.decompressobj(_WINDOW_BITS, _dictionary_1())
    try:
        body = inflate.decompress(stored[1:], MOST_BYTES + 1)  # zlib sees the end only if there is room left
    except zlib.error:
        return stored
    return body if inflate.eof else stored


class _Codec(threading.local):
    """What compresses and decompresses; each thread has its own, because neither may be shared."""

    def __init__(self) -> None:
        dictionary = _dictionary_2()
        self.compressor = zstandard.ZstdCompressor(compression_params=_FAST, dict_data=dictionary)
        self.decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)


@cache
def _dictionary_2() -> zstandard.ZstdCompressionDict:
    """Return what ``bench.dictionary`` has trained on recorded webhooks."""
    dictionary = zstandard.ZstdCompressionDict((_FOLDER / "2.zdict").read_bytes())
    dictionary.precompute_compress(compression_params=_FAST)
    return dictionary


@cache
def _dictionary_1() -> bytes:
    """Return a text that most bodies contain: Polar's field names, in the order in which it sends them."""
    return b"".join((_FOLDER / "1.txt").read_bytes().splitlines())


_FOLDER = files("workers.store") / "dictionaries"
_codec = _Codec()
