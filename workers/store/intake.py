"""Stores verified deliveries for the receiver: each is stored and queued in one round trip, or not at all.

Deliveries that arrive during a round trip share the next one (group commit): Redis writes its append-only
file to disk once for all of them. A delivery that arrives alone is stored at once.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, RedisError
from redis.typing import EncodableT

from workers.core.delivery import Status
from workers.core.envelope import STORED_TYPES, peek_type
from workers.errors import StoreUnavailableError
from workers.store import keys
from workers.store.bodies import compress_body
from workers.store.queue import drain_job_args
from workers.store.redis_errors import describe_redis_error
from workers.store.scripts import load_script

_READY_SECONDS = 10  # how long a readiness probe's key lives; nobody reads it

# One batch takes Redis some milliseconds, during which every other client waits.
_BATCH_DELIVERIES = 100
_BATCH_BYTES = 1024 * 1024


class Disposition(StrEnum):
    """What intake did with a delivery."""

    ACCEPTED = "accepted"
    """It is stored, and a worker will process it."""
    DUPLICATE = "duplicate"
    """It was stored before."""
    IGNORED = "ignored"
    """It was not stored, because webhooks of its type never grant anything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawDelivery:
    """A delivery with a valid signature; ``body`` has the bytes that were signed."""

    id: str
    body: bytes


class _Pending(NamedTuple):
    """A delivery that waits for its round trip; its body is compressed."""

    id: str
    type: str
    body: bytes
    disposition: asyncio.Future[Disposition]


class Intake:
    """Stores deliveries in Redis, in batches."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._accept = redis.register_script(load_script("accept"))
        self._waiting: deque[_Pending] = deque()
        self._storing: asyncio.Task[None] | None = None

    async def accept(self, delivery: RawDelivery) -> Disposition:
        """Store and queue ``delivery``; StoreUnavailableError if Redis did not confirm it."""
        # A body that is not an event is stored too: it ends as failed, where operators see it.
        type_ = peek_type(delivery.body) or ""
        if type_ and type_ not in STORED_TYPES:
            return Disposition.IGNORED
        disposition: asyncio.Future[Disposition] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Pending(delivery.id, type_, compress_body(delivery.body), disposition))
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store())
        return await disposition

    async def _store(self) -> None:
        """Store the deliveries that wait, and those that arrive meanwhile."""
        while self._waiting:
            batch = list(self._next_batch())
            try:
                dispositions = await self._store_batch(batch)
            except (RedisError, OSError) as error:
                # The deliveries behind this batch would wait for another timeout, and Polar waits only 10 s.
                _refuse([*batch, *self._waiting], StoreUnavailableError(describe_redis_error(error)))
                self._waiting.clear()
                await self._leave_replica(error)
            except BaseException as error:  # the receiver ends, or a bug: no request may wait for ever
                _refuse([*batch, *self._waiting], StoreUnavailableError(f"not stored: {error!r}"))
                self._waiting.clear()
                raise
            else:
                for pending, disposition in zip(batch, dispositions, strict=True):
                    if not pending.disposition.done():  # done if the sender has disconnected
                        pending.disposition.set_result(Disposition(disposition.decode()))

    def _next_batch(self) -> Iterator[_Pending]:
        """Yield as many waiting deliveries as Redis can store without delaying other clients much."""
        size = 0
        for _ in range(_BATCH_DELIVERIES):
            if not self._waiting or size > _BATCH_BYTES:
                return
            pending = self._waiting.popleft()
            size += len(pending.body)
            yield pending

    async def _store_batch(self, batch: Sequence[_Pending]) -> list[bytes]:
        rows: list[EncodableT] = [value for one in batch for value in (one.id, one.type, one.body)]
        dispositions: list[bytes] = await self._accept(
            keys=[keys.DUE, keys.deliveries(Status.WAITING), keys.COUNTS],
            args=[keys.DELIVERY, keys.BODY, len(batch), *rows, *drain_job_args()],
        )
        return dispositions

    async def _leave_replica(self, error: Exception) -> None:
        """After a fail-over, close the connections to the server that is no longer the primary."""
        # By then the host name leads to the new primary, but open connections do not. Where a script met the
        # error, Redis 6 says so only in the text.
        if isinstance(error, ReadOnlyError) or "-READONLY" in str(error):
            with suppress(RedisError, OSError):  # with TLS, closing can fail
                # Connections in use are closed when they meet the same error.
                await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def check(self) -> None:
        """Check that Redis takes writes; StoreUnavailableError says why it does not."""
        try:
            await self._redis.set(keys.READY, 1, ex=_READY_SECONDS)
        except (RedisError, OSError) as error:
            await self._leave_replica(error)
            raise StoreUnavailableError(describe_redis_error(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _refuse(deliveries: Iterable[_Pending], error: StoreUnavailableError) -> None:
    for pending in deliveries:
        if not pending.disposition.done():
            pending.disposition.set_exception(error)
