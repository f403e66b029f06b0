"""Fills a backlog of deliveries in Redis, and releases it to the workers at one moment."""

import asyncio
import time
from uuid import uuid4

from redis import Redis

from bench.harness import Harness, HarnessError
from bench.orders import paid_orders
from workers.core.batches import in_batches
from workers.core.delivery import Status
from workers.store import keys
from workers.store.connect_async import intake_for
from workers.store.intake import Intake, RawDelivery

_AT_ONCE = 50  # as many as intake has connections
_POLL_SECONDS = 0.01  # polling more often would cost Redis a tenth of a core
_SENT_AT_RELEASE = 2  # orders of the backlog that are stored only at the release


def fill(harness: Harness, count: int) -> None:
    """Store all but two of ``count`` paid orders; no worker starts on them before ``release``."""
    with harness.redis() as redis:
        redis.set(keys.PAUSE, "the bench fills the backlog")
    asyncio.run(_fill(harness.redis_url, count - _SENT_AT_RELEASE))


def release(harness: Harness) -> float:
    """Let the workers start; return the time at which they could."""
    with harness.redis() as redis:
        return asyncio.run(_release(harness.redis_url, redis))


def await_settled(harness: Harness) -> float:
    """Return the time at which the last delivery was settled; HarnessError if one got no credit."""
    with harness.redis() as redis:
        while redis.zcard(keys.DUE):
            time.sleep(_POLL_SECONDS)
        ended = time.monotonic()
        for status in (Status.FAILED, Status.SKIPPED):
            if count := redis.zcard(keys.deliveries(status)):
                raise HarnessError(f"{count} orders are {status}, so that the figures mean nothing")
    return ended


async def _fill(redis_url: str, count: int) -> None:
    intake = intake_for(redis_url)
    for some in in_batches(paid_orders(count), _AT_ONCE):
        await asyncio.gather(*(_accept(intake, body) for body in some))
    await intake.close()


async def _release(redis_url: str, redis: Redis) -> float:
    first, last = paid_orders(_SENT_AT_RELEASE)
    intake = intake_for(redis_url)
    await _accept(intake, first)  # opens a connection
    redis.delete(keys.PAUSE)
    begun = time.monotonic()
    await _accept(intake, last)  # wakes the workers
    await intake.close()
    return begun


async def _accept(intake: Intake, body: bytes) -> None:
    await intake.accept(RawDelivery(id=str(uuid4()), body=body))
