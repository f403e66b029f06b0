"""Measures the memory that a delivery takes in Redis while it is kept, and a grant takes for ever."""

from msgspec.structs import replace
from redis import Redis

from bench.backlog import await_settled, fill, release
from bench.goals import Goals
from bench.harness import Harness, start_harness
from bench.orders import BODY_BYTES
from bench.rounds import Table, figure
from workers.core.delivery import Status
from workers.store import keys
from workers.store.sealing import Sealer
from workers.timings import DEFAULT_TIMINGS

_PAGE = 1000

_RATIO, _GRANT = "delivery alone, relative to its body", "bytes per grant"


def measure(*, quick: bool) -> Table:
    """Measure two sizes, which shows whether memory grows in proportion."""
    sizes = (500, 2000) if quick else (10_000, 100_000)
    rows = [_row(size) for size in sizes]
    return Table(
        subject="footprint",
        header=[
            "orders",
            "bytes per delivery and its grant",
            _RATIO,
            "bytes per grant in its first hour",
            _GRANT,
        ],
        rows=rows,
        note=f"One meter per order, each of another customer; a body has {BODY_BYTES:,} bytes. A delivery "
        "is removed after `CREDITS_RETAIN`; a grant stays. An hour after it was settled, it is sealed.",
        goals=[
            Goals(column=_RATIO, rows={row[0]: None for row in rows}, is_lower_better=True),
            Goals(column=_GRANT, rows={row[0]: 250 for row in rows}, is_lower_better=True, is_ratio=False),
        ],
    )


def _row(orders: int) -> list[str]:
    with start_harness(polar_latency_ms=0) as harness, harness.redis() as redis:
        _settle(harness, 1)  # loads the scripts, so that they do not count below
        _expire_all(redis)
        empty = _used_bytes(redis)
        _settle(harness, orders)
        kept = (_used_bytes(redis) - empty) / orders
        _expire_all(redis)
        unsealed = (_used_bytes(redis) - empty) / orders
        _seal_all(redis)
        grant = (_used_bytes(redis) - empty) / orders
    delivery = f"{(kept - unsealed) / BODY_BYTES:.2f}"
    return [f"{orders:,}", figure(kept), delivery, figure(unsealed), figure(grant)]


def _settle(harness: Harness, orders: int) -> None:
    fill(harness, orders)
    with harness.workers():
        release(harness)
        await_settled(harness)


def _expire_all(redis: Redis) -> None:
    """Expire everything that has an expiry time."""
    pipeline = redis.pipeline(transaction=False)
    for key in redis.scan_iter(count=_PAGE):
        pipeline.expire(key, 0, xx=True)  # only keys that already expire
    pipeline.delete(*map(keys.deliveries, Status))
    pipeline.execute()


def _seal_all(redis: Redis) -> None:
    sealer = Sealer(redis, replace(DEFAULT_TIMINGS, seal_after_seconds=0))
    while sealer.seal(_PAGE):
        pass


def _used_bytes(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])
