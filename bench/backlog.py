"""A backlog: deliveries that wait in Redis, and the moment at which workers may begin."""

import asyncio
import time
from collections.abc import Sequence
from itertools import islice
from uuid import uuid4

from bench.orders import paid_orders
from bench.stage import Stage, StageError
from workers import keys
from workers.intake import Intake, RawDelivery
from workers.records import Status
from workers.runtime import intake_for

_AT_ONCE = 50  # as many connections as intake has
_POLL_SECONDS = 0.002


def fill(stage: Stage, count: int) -> None:
    """Let ``count`` paid orders wait: no worker begins before ``release``."""
    with stage.redis() as redis:
        redis.set(keys.PAUSE, "the bench fills the backlog")
    _accept(stage, count - 1)  # the last one wakes the workers


def release(stage: Stage) -> float:
    """Let the workers begin; return the moment."""
    with stage.redis() as redis:
        redis.delete(keys.PAUSE)
    begun = time.monotonic()
    _accept(stage, 1)
    return begun


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


def _accept(stage: Stage, count: int) -> None:
    asyncio.run(_accepted(stage.redis_url, count))


async def _accepted(redis_url: str, count: int) -> None:
    bodies = paid_orders(count)
    intake = intake_for(redis_url)
    while some := list(islice(bodies, _AT_ONCE)):
        await _accept_some(intake, some)
    await intake.close()


async def _accept_some(intake: Intake, bodies: Sequence[bytes]) -> None:
    await asyncio.gather(*(intake.accept(RawDelivery(id=str(uuid4()), body=body)) for body in bodies))
