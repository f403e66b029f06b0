"""Dumps what is in Redis as JSON that a person can review, a key in each line, and loads it again."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from redis import Redis

_BINARY = "base64:"


def dump(redis: Redis, *, without: Sequence[str] = ()) -> Iterator[str]:
    """Yield a line of JSON for each key of ours: what it holds, and how long it lives (ms; -1: for ever)."""
    for name in sorted(cast(list[bytes], redis.keys("credits:*"))):
        key = name.decode()
        if key not in without:
            kind = cast(bytes, redis.type(name)).decode()
            row = {"key": key, "type": kind, "ttl_ms": redis.pttl(name), "value": _READ[kind](redis, key)}
            yield json.dumps(row)


def load(redis: Redis, lines: Sequence[str]) -> None:
    """Write what ``dump`` has read."""
    for row in map(json.loads, lines):
        _WRITE[row["type"]](redis, row["key"], row["value"])
        if row["ttl_ms"] >= 0:
            redis.pexpire(row["key"], row["ttl_ms"])


def _text(value: bytes) -> str:
    shown = value.decode("latin-1")
    is_plain = shown.isascii() and shown.isprintable() and not shown.startswith(_BINARY)
    return shown if is_plain else _BINARY + base64.b64encode(value).decode()


def _bytes(value: str) -> bytes:
    encoded = value.removeprefix(_BINARY)
    return base64.b64decode(encoded) if encoded != value else value.encode()


def _read_hash(redis: Redis, key: str) -> Any:
    fields = cast(dict[bytes, bytes], redis.hgetall(key))
    return {_text(name): _text(value) for name, value in sorted(fields.items())}


def _write_hash(redis: Redis, key: str, value: Any) -> None:
    redis.hset(key, mapping={_bytes(name): _bytes(one) for name, one in value.items()})


def _read_zset(redis: Redis, key: str) -> Any:
    members = cast(list[tuple[bytes, float]], redis.zrange(key, 0, -1, withscores=True))
    return {_text(member): score for member, score in members}


def _read_stream(redis: Redis, key: str) -> Any:
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(key))
    return {id_.decode(): {_text(n): _text(v) for n, v in fields.items()} for id_, fields in entries}


def _write_stream(redis: Redis, key: str, value: Any) -> None:
    for id_, fields in value.items():
        redis.xadd(key, {_bytes(name): _bytes(one) for name, one in fields.items()}, id=id_)


_READ: dict[str, Callable[[Redis, str], Any]] = {
    "string": lambda redis, key: _text(cast(bytes, redis.get(key))),
    "hash": _read_hash,
    "zset": _read_zset,
    "stream": _read_stream,
}
_WRITE: dict[str, Callable[[Redis, str, Any], object]] = {
    "string": lambda redis, key, value: redis.set(key, _bytes(value)),
    "hash": _write_hash,
    "zset": lambda redis, key, value: redis.zadd(key, {_bytes(one): at for one, at in value.items()}),
    "stream": _write_stream,
}
