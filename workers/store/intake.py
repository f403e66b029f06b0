"""The receiver's only door: a verified delivery is stored and queued in one round trip, or not at all.

Deliveries that arrive while a round trip is under way share the next one (group commit): Redis writes its
log to disk once for all of them. A lone one waits for nobody.
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

_READY_SECONDS = 10  # a readiness probe's mark; it only has to be written

# Some milliseconds of Redis's time: everybody else waits meanwhile.
_MOST_TOGETHER = 100
_MOST_BYTES_TOGETHER = 1024 * 1024


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


class _Held(NamedTuple):
    """A delivery that waits for its round trip, its body packed."""

    id: str
    type: str
    body: bytes
    turn: asyncio.Future[Disposition]


class Intake:
    """Stores deliveries in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._accept = redis.register_script(load_script("accept"))
        self._waiting: deque[_Held] = deque()
        self._storing: asyncio.Task[None] | None = None

    async def accept(self, delivery: RawDelivery) -> Disposition:
        """Store and queue ``delivery``; StoreUnavailableError if Redis did not confirm that."""
        # What is no event at all is stored too: it ends as failed, where somebody sees it.
        type_ = peek_type(delivery.body) or ""
        if type_ and type_ not in STORED_TYPES:
            return Disposition.IGNORED
        held = _Held(
            delivery.id, type_, compress_body(delivery.body), asyncio.get_running_loop().create_future()
        )
        self._waiting.append(held)
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store())
        return await held.turn

    async def _store(self) -> None:
        """Store what waits, and what comes meanwhile."""
        while self._waiting:
            together = list(self._take())
            try:
                answers = await self._store_together(together)
            except (RedisError, OSError) as error:
                # Who waited behind them is not to wait for the next one to fail: Polar's patience is 10 s.
                _refuse([*together, *self._waiting], StoreUnavailableError(describe_redis_error(error)))
                self._waiting.clear()
                await self._leave_replica(error)
            except BaseException as error:  # the receiver ends, or a bug: nobody is to wait for ever
                _refuse([*together, *self._waiting], StoreUnavailableError(f"not stored: {error!r}"))
                self._waiting.clear()
                raise
            else:
                for held, answer in zip(together, answers, strict=True):
                    if not held.turn.done():  # its sender may have gone; it is stored all the same
                        held.turn.set_result(Disposition(answer.decode()))

    def _take(self) -> Iterator[_Held]:
        """Take from what waits as much as Redis can store without keeping others waiting for long."""
        size = 0
        for _ in range(_MOST_TOGETHER):
            if not self._waiting or size > _MOST_BYTES_TOGETHER:
                return
            held = self._waiting.popleft()
            size += len(held.body)
            yield held

    async def _store_together(self, together: Sequence[_Held]) -> list[bytes]:
        flat: list[EncodableT] = [piece for held in together for piece in (held.id, held.type, held.body)]
        answers: list[bytes] = await self._accept(
            keys=[keys.DUE, keys.deliveries(Status.WAITING), keys.COUNTS],
            args=[keys.DELIVERY, keys.BODY, len(together), *flat, *drain_job_args()],
        )
        return answers

    async def _leave_replica(self, error: Exception) -> None:
        """After a fail-over, leave the server that is primary no more."""
        # The name leads to another one by then, but open connections do not. Redis 6 tells of it in the
        # words of a script's error alone.
        if isinstance(error, ReadOnlyError) or "-READONLY" in str(error):
            with suppress(RedisError, OSError):  # with TLS, a server that does not let go
                # What others are using now is closed when it has told them the same.
                await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def check(self) -> None:
        """See that Redis takes writes; StoreUnavailableError says why it does not."""
        try:
            await self._redis.set(keys.READY, 1, ex=_READY_SECONDS)
        except (RedisError, OSError) as error:
            await self._leave_replica(error)
            raise StoreUnavailableError(describe_redis_error(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _refuse(all_held: Iterable[_Held], error: StoreUnavailableError) -> None:
    for held in all_held:
        if not held.turn.done():
            held.turn.set_exception(error)
