"""Fills Redis with a ledger of millions of sealed grants: two sealed orders are copied within Redis."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

from msgspec.structs import replace
from redis import Redis
from redis.typing import EncodableT

from bench.backlog import await_settled
from bench.harness import Harness
from bench.orders import paid_orders
from workers.core.delivery import Delivery, Status
from workers.core.grants import order_subject
from workers.store import keys
from workers.store.connect_async import intake_for
from workers.store.deliveries import DeliveryStore
from workers.store.intake import RawDelivery
from workers.store.outbox import MOST_GIVEN_UP, MOST_SENT, MOST_WAITING
from workers.store.scripts import with_needed
from workers.store.sealing import Sealer
from workers.timings import DEFAULT_TIMINGS

RARE_TYPE = "order.refunded"

_SCRIPT = Path(__file__).with_suffix(".lua")
_AT_ONCE = 1_000
_PATIENCE_SECONDS = 60  # the kernel may need a while for new memory
_ORDERS_EACH = 5
_DAY_MS = 86_400_000
_PERIOD_MS = 2 * 365 * _DAY_MS
_KEPT_SECONDS = 30 * 86_400
_IN_A_BUCKET = 48  # on average, as in seal.lua
_PIECE, _DIGITS = 64, 24  # as in tables.lua

_Fields = dict[EncodableT, EncodableT]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much there is."""

    grants: int
    crowd: int
    """How many of them are one customer's: the oldest. Every other customer has five."""
    kept: int
    """How many have their deliveries: the newest."""
    failed: int
    """How many deliveries there are that failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """What the commands are asked about."""

    delivery: str
    """The newest one that is kept; the next two belong to it."""
    kept_order: str
    kept_customer: str
    failed: str
    order: str
    """An order whose delivery is no longer kept."""
    customer: str
    """Somebody with five orders, whose deliveries are no longer kept."""
    crowd: str
    """A customer with very many orders."""


def fill_ledger(harness: Harness, sizes: Sizes) -> Names:
    """Store so many sealed grants of the last two years."""
    with Redis.from_url(harness.redis_url, socket_timeout=_PATIENCE_SECONDS) as redis:
        redis.config_set("appendonly", "no")  # neither the filling nor the reading is durable
        redis.config_set("save", "")
        pattern, facts = _seal_two(harness, redis)
        _make_tables(redis, sizes)
        _copy(redis, pattern, facts, sizes)
        _fail(redis, pattern, sizes.failed)
        _fill_outbox(redis)
    middle = sizes.crowd + 1 + (sizes.grants - sizes.crowd) // (2 * _ORDERS_EACH) * _ORDERS_EACH
    return Names(
        delivery=_uuid(3, sizes.grants),
        kept_order=_uuid(1, sizes.grants),
        kept_customer=_uuid(2, sizes.grants - _ORDERS_EACH + 1),
        failed="failed-1",
        order=_uuid(1, middle),
        customer=_uuid(2, middle),
        crowd=_uuid(2, 1),
    )


def _seal_two(harness: Harness, redis: Redis) -> tuple[Delivery, list[list[bytes]]]:
    """Let the service credit and seal two orders of one customer.

    Returns a delivery, and the parts of both facts (see ``operators_data.lua``), the older fact first. A
    third order stays open, as the newest does.
    """
    *two, third = _sales()
    with harness.workers():
        for bodies in (two, [third]):  # the third is the newest, whatever the deliveries' ids are
            asyncio.run(_accept(harness.redis_url, bodies))
            await_settled(harness)
    by_customer: dict[str, list[Delivery]] = {}
    for one in DeliveryStore(redis).newest([Status.GRANTED]):
        by_customer.setdefault(one.customer_id or "", []).append(one)
    sold = max(by_customer.values(), key=len)
    open_ = [cast(dict[bytes, bytes], redis.hgetall(order_subject(one.order_id or ""))) for one in sold]
    sealer = Sealer(redis, replace(DEFAULT_TIMINGS, seal_after_seconds=0))
    while sealer.seal(1):
        pass
    facts = [_parts(redis, one, fields) for one, fields in zip(sold, open_, strict=True)]
    return sold[0], sorted(facts, key=len)  # the later fact also names the one before it


def _sales() -> list[bytes]:
    """Return the webhooks of two orders of one customer, and then of another's."""
    bodies = list(paid_orders(3))
    first, second = (json.loads(one)["data"]["customer_id"].encode() for one in bodies[:2])
    return [bodies[0], bodies[1].replace(second, first), bodies[2]]


async def _accept(redis_url: str, bodies: Sequence[bytes]) -> None:
    intake = intake_for(redis_url)
    for body in bodies:
        await intake.accept(RawDelivery(id=str(uuid4()), body=body))
    await intake.close()


def _parts(redis: Redis, one: Delivery, fields: Mapping[bytes, bytes]) -> list[bytes]:
    """Return the bytes of a sealed fact, cut at what differs in a copy: each such place has its name."""
    values = {
        b"customer": _uuid_bytes(one.customer_id or ""),
        b"delivery": _uuid_bytes(one.id),
        b"claimed_at": int(fields[b"claimed_at"]).to_bytes(6, "big"),
    }
    if before := fields.get(b"before"):
        values[b"before"] = _uuid_bytes(before.decode().partition(":")[2])
    parts = [_sealed(redis, order_subject(one.order_id or ""))]
    for name, value in values.items():
        place = next(i for i, part in enumerate(parts) if i % 2 == 0 and value in part)
        begin, _, end = parts[place].partition(value)
        parts[place : place + 1] = [begin, name, end]
    return parts


def _sealed(redis: Redis, subject: str) -> bytes:
    """Return the bytes of a sealed fact; there is one bucket as yet."""
    field = sha1(subject.encode(), usedforsecurity=False).hexdigest()[:_DIGITS].encode()
    bucket = cast(dict[bytes, bytes], redis.hgetall(f"{keys.FACTS}0"))
    pieces = [bucket[field]]
    while len(pieces[-1]) == _PIECE:
        pieces.append(bucket[bytes([len(pieces)]) + field])
    return b"".join(pieces)


def _make_tables(redis: Redis, sizes: Sizes) -> None:
    """Empty what is sealed, and let the tables have as many buckets as they need."""
    redis.delete(f"{keys.FACTS}0", f"{keys.NEWEST}0", *redis.scan_iter(f"{keys.AUDIT_DAY}*"))
    customers = 1 + (sizes.grants - sizes.crowd) // _ORDERS_EACH
    last = _begun_ms() + _PERIOD_MS
    tables = {keys.FACTS.rstrip(":"): sizes.grants, keys.NEWEST.rstrip(":"): customers}
    noted: _Fields = {
        "first_day": _begun_ms() // _DAY_MS,
        "audited_to": f"{last}-0",
        "audited": sizes.grants,
    }
    for table, entries in tables.items():
        noted |= {table: max(1, entries // _IN_A_BUCKET), f"{table}:entries": entries}
    redis.hset(keys.SEALED, mapping=noted)


def _copy(redis: Redis, pattern: Delivery, facts: Sequence[Sequence[bytes]], sizes: Sizes) -> None:
    copy = redis.register_script(with_needed(_SCRIPT.read_text()))
    begun, apart = _begun_ms(), _PERIOD_MS / (sizes.grants + 1)
    opening, following = facts
    for first in range(1, sizes.grants + 1, _AT_ONCE):
        copy(
            keys=[keys.delivery(pattern.id), keys.body(pattern.id), keys.deliveries(Status.GRANTED)],
            args=[
                keys.DELIVERY,
                keys.BODY,
                first,
                min(_AT_ONCE, sizes.grants + 1 - first),
                sizes.crowd,
                _ORDERS_EACH,
                begun,
                apart,
                sizes.grants + 1 - sizes.kept,
                _KEPT_SECONDS,
                len(opening),
                *opening,
                *following,
            ],
        )


def _fail(redis: Redis, pattern: Delivery, count: int) -> None:
    """Store copies of a delivery that failed, and an old one of a rare type that was skipped."""
    fields = cast(_Fields, redis.hgetall(keys.delivery(pattern.id)))
    body = cast(bytes, redis.get(keys.body(pattern.id)))
    now = int(time.time() * 1000)
    failed: _Fields = {**fields, b"status": Status.FAILED, b"received_at": now}
    for number in range(1, count + 1):
        redis.hset(keys.delivery(f"failed-{number}"), mapping=failed)
        redis.set(keys.body(f"failed-{number}"), body)
        redis.zadd(keys.deliveries(Status.FAILED), {f"failed-{number}": now})
    old = now - _KEPT_SECONDS * 1000
    rare: _Fields = {**fields, b"status": Status.SKIPPED, b"type": RARE_TYPE, b"received_at": old}
    redis.hset(keys.delivery("rare"), mapping=rare)
    redis.zadd(keys.deliveries(Status.SKIPPED), {"rare": old})


def _fill_outbox(redis: Redis) -> None:
    """Fill each list of credit events with as many as it holds."""
    now = int(time.time() * 1000)
    sizes = {keys.OUTBOX: MOST_WAITING, keys.OUTBOX_SENT: MOST_SENT, keys.OUTBOX_GIVEN_UP: MOST_GIVEN_UP}
    for key, count in sizes.items():
        numbers = range(1, count + 1)
        redis.zadd(key, {f"{order_subject(_uuid(1, one))}\napi_usage": now + one for one in numbers})


def _begun_ms() -> int:
    """Return the beginning of the day two years ago."""
    return (int(time.time() * 1000) - _PERIOD_MS) // _DAY_MS * _DAY_MS


def _uuid(kind: int, number: int) -> str:
    return f"{number:08x}-0000-4000-800{kind}-{number:012x}"


def _uuid_bytes(text: str) -> bytes:
    return UUID(text).bytes
