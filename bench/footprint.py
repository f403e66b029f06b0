"""What Redis keeps in memory: of a delivery while it is kept, and of a grant for ever."""

from redis import Redis

from bench.backlog import await_settled, fill, release
from bench.orders import BODY_BYTES
from bench.rounds import Table, figure
from bench.stage import Stage, stage
from workers.core.delivery import Status
from workers.store import keys

_PAGE = 1000


def measure(*, quick: bool) -> Table:
    """Measure at two sizes, whether it grows in proportion."""
    sizes = (500, 2000) if quick else (10_000, 100_000)
    rows = [_row(size) for size in sizes]
    return Table(
        subject="footprint",
        header=["orders", "bytes a delivery and its grant", "a delivery alone, of its body", "bytes a grant"],
        rows=rows,
        note=f"One meter an order; a body is {BODY_BYTES:,} bytes. A delivery's part goes "
        "when `CREDITS_RETAIN` is over; a grant's stays.",
    )


def _row(orders: int) -> list[str]:
    with stage(polar_latency_ms=0) as set_up, set_up.redis() as redis:
        _settle(set_up, 1)  # scripts and the like are there from now on
        _forget(redis)
        empty = _used_bytes(redis)
        _settle(set_up, orders)
        kept = (_used_bytes(redis) - empty) / orders
        _forget(redis)
        grant = (_used_bytes(redis) - empty) / orders
    return [f"{orders:,}", figure(kept), f"{(kept - grant) / BODY_BYTES:.2f}", figure(grant)]


def _settle(stage: Stage, orders: int) -> None:
    fill(stage, orders)
    with stage.workers():
        release(stage)
        await_settled(stage)


def _forget(redis: Redis) -> None:
    """Let everything expire that ever will, as time would."""
    pipeline = redis.pipeline(transaction=False)
    for key in redis.scan_iter(count=_PAGE):
        pipeline.expire(key, 0, xx=True)  # only what has an end
    pipeline.delete(*map(keys.deliveries, Status))
    pipeline.execute()


def _used_bytes(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])
