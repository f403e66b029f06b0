"""A backlog: deliveries that wait in Redis, and the moment at which workers may begin."""

import asyncio
import time
from itertools import islice
from uuid import uuid4

from redis import Redis

from bench.orders import paid_orders
from bench.stage import Stage, StageError
from workers.core.delivery import Status
from workers.store import keys
from workers.store.connect import intake_for
from workers.store.intake import Intake, RawDelivery

_AT_ONCE = 50  # as many connections as intake has
_POLL_SECONDS = 0.01  # more often, and Redis would have a tenth of a core less
_AT_THE_RELEASE = 2  # orders of the backlog that come only then


def fill(stage: Stage, count: int) -> None:
    """Let ``count`` paid orders wait: no worker begins before ``release``."""
    with stage.redis() as redis:
        redis.set(keys.PAUSE, "the bench fills the backlog")
    asyncio.run(_fill(stage.redis_url, count - _AT_THE_RELEASE))


def release(stage: Stage) -> float:
    """Let the workers begin; return the moment."""
    with stage.redis() as redis:
        return asyncio.run(_release(stage.redis_url, redis))


def await_settled(stage: Stage) -> float:
    """Return the moment when nothing waits any more; StageError if an order ended without credit."""
    with stage.redis() as redis:
        while redis.zcard(keys.DUE):
            time.sleep(_POLL_SECONDS)
        ended = time.monotonic()
        for status in (Status.FAILED, Status.SKIPPED):
            if count := redis.zcard(keys.deliveries(status)):
                raise StageError(f"{count} orders are {status}, so that the figures mean nothing")
    return ended


async def _fill(redis_url: str, count: int) -> None:
    bodies = paid_orders(count)
    intake = intake_for(redis_url)
    while some := list(islice(bodies, _AT_ONCE)):
        await asyncio.gather(*(_accept(intake, body) for body in some))
    await intake.close()


async def _release(redis_url: str, redis: Redis) -> float:
    first, last = paid_orders(_AT_THE_RELEASE)
    intake = intake_for(redis_url)
    await _accept(intake, first)  # to have a connection
    redis.delete(keys.PAUSE)
    begun = time.monotonic()
    await _accept(intake, last)  # wakes the workers
    await intake.close()
    return begun


async def _accept(intake: Intake, body: bytes) -> None:
    await intake.accept(RawDelivery(id=str(uuid4()), body=body))
