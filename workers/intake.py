"""The receiver's only door: a verified delivery is stored and queued in one round trip, or not at all."""

from dataclasses import dataclass
from enum import StrEnum

from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, RedisError

from workers import keys
from workers.errors import StoreUnavailableError
from workers.events import STORED_TYPES, peek_type
from workers.queue import wake_args
from workers.records import Status
from workers.scripts import lua

_READY_SECONDS = 10  # a readiness probe's mark; it only has to be written


class Disposition(StrEnum):
    """What intake did with a delivery."""

    ACCEPTED = "accepted"
    """It is in Redis, and a worker will see it."""
    DUPLICATE = "duplicate"
    """It was there already."""
    IGNORED = "ignored"
    """Its type leads to no credit: not stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawDelivery:
    """A delivery whose signature is good; ``body`` are the very bytes that were signed."""

    id: str
    body: bytes


class Intake:
    """Stores deliveries in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._accept = redis.register_script(lua("accept"))

    async def accept(self, delivery: RawDelivery) -> Disposition:
        """Store and queue ``delivery``; StoreUnavailableError if Redis did not confirm that."""
        # What is no event at all is stored too: it ends as failed, where somebody sees it.
        type_ = peek_type(delivery.body) or ""
        if type_ and type_ not in STORED_TYPES:
            return Disposition.IGNORED
        try:
            answer: bytes = await self._accept(
                keys=[keys.delivery(delivery.id), keys.DUE, keys.deliveries(Status.WAITING)],
                args=[delivery.id, type_, delivery.body, *wake_args()],
            )
        except (RedisError, OSError) as error:
            await self._look_again(error)
            raise StoreUnavailableError(str(error)) from error
        return Disposition(answer.decode())

    async def _look_again(self, error: Exception) -> None:
        """After a fail-over the name leads to another server, but open connections do not."""
        if isinstance(error, ReadOnlyError):
            await self._redis.connection_pool.disconnect()

    async def check(self) -> None:
        """See that Redis takes writes; StoreUnavailableError says why it does not."""
        try:
            await self._redis.set(keys.READY, 1, ex=_READY_SECONDS)
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(str(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
