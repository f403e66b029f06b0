"""Stores verified deliveries for the receiver: each is stored and queued in one round trip, or not at all.

Deliveries that arrive during a round trip share the next one (group commit): Redis writes its append-only
file to disk once for all of them. A delivery that arrives alone is stored at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.typing import EncodableT

from workers.core.delivery import Status
from workers.core.envelope import STORED_TYPES, peek_type
from workers.errors import StoreUnavailableError
from workers.store import keys
from workers.store.bodies import compress_body
from workers.store.clock import difference
from workers.store.full_disk import describe_trouble, require_room
from workers.store.queue import drain_job_args
from workers.store.scripts import load_script
from workers.timings import DEFAULT_TIMINGS

_READY_SECONDS = 10  # how long a readiness probe's key lives; nobody reads it

# Every command that accept.lua runs.
ACCEPTING = (
    "exists", "expire", "hget", "hincrbyfloat", "hset", "llen", "mset", "rpush", "sadd", "time", "zadd",
)  # fmt: skip

# One batch takes Redis some milliseconds, during which every other client waits.
_BATCH_DELIVERIES = 100
_BATCH_BYTES = 1024 * 1024

Answer = TypeVar("Answer")


class Disposition(StrEnum):
    """What intake did with a delivery."""

    ACCEPTED = "accepted"
    """It is stored, and a worker will process it."""
    DUPLICATE = "duplicate"
    """It was stored before."""
    IGNORED = "ignored"
    """It was not stored, because webhooks of its type never grant anything."""


class RawDelivery(Struct, frozen=True, kw_only=True):
    """A delivery with a valid signature; ``body`` has the bytes that were signed."""

    id: str
    body: bytes


Outcome = Disposition | StoreUnavailableError
"""What became of a delivery; it is stored only with a disposition."""
Tell = Callable[[Outcome], object]


class _Pending(NamedTuple):
    """A delivery that waits for its round trip."""

    id: str
    type: str
    body: bytes
    tell: Tell


_DISPOSITIONS = {one.value.encode(): one for one in Disposition}


class Intake:
    """Stores deliveries in Redis, in batches."""

    def __init__(
        self,
        redis: Redis,
        types: frozenset[str] = STORED_TYPES,
        *,
        within_seconds: float = DEFAULT_TIMINGS.receiver_redis_seconds,
        telling: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """Store webhooks of ``types``; the outcomes of a batch are told within one ``telling``."""
        self._redis = redis
        self._types = types
        self._within_seconds = within_seconds
        self._telling = telling
        self._accept = redis.register_script(load_script("accept"))
        self._find_denied = redis.register_script(load_script("permissions"))
        self._waiting: deque[_Pending] = deque()
        self._storing: asyncio.Task[None] | None = None

    async def accept(self, delivery: RawDelivery) -> Disposition:
        """Store and queue ``delivery``; StoreUnavailableError if Redis did not confirm it."""
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.put(delivery, lambda outcome: None if told.done() else told.set_result(outcome))
        outcome = await told
        if isinstance(outcome, StoreUnavailableError):
            raise outcome
        return outcome

    def put(self, delivery: RawDelivery, tell: Tell) -> None:
        """Begin to store and queue ``delivery``, and call ``tell`` once when its outcome is known."""
        # A body that is not an event is stored too: it ends as failed, where operators see it.
        type_ = peek_type(delivery.body) or ""
        if type_ and type_ not in self._types:
            tell(Disposition.IGNORED)
            return
        self._waiting.append(_Pending(delivery.id, type_, delivery.body, tell))
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store())

    async def _store(self) -> None:
        """Store the deliveries that wait, and those that arrive meanwhile."""
        while self._waiting:
            batch: list[_Pending] = []
            try:
                batch.extend(self._next_batch())
                dispositions = await self._ask(lambda: self._store_batch(batch))  # noqa: B023 - awaited here
            except StoreUnavailableError as error:
                # The deliveries behind this batch would wait for another timeout, and Polar waits only 10 s.
                self._refuse(batch, error)
                await self._leave_server()
            except BaseException as error:  # the receiver ends, or memory: no request may wait for ever
                self._refuse(batch, StoreUnavailableError(f"not stored: {error!r}"))
                raise
            else:
                outcomes = [_DISPOSITIONS[disposition] for disposition in dispositions]
                self._tell_soon(zip(batch, outcomes, strict=True))

    def _refuse(self, batch: Iterable[_Pending], error: StoreUnavailableError) -> None:
        """Refuse the deliveries of a batch, and those that wait behind it."""
        self._tell_soon([(pending, error) for pending in (*batch, *self._waiting)])
        self._waiting.clear()

    def _tell_soon(self, told: Iterable[tuple[_Pending, Outcome]]) -> None:
        """Tell outcomes when the next batch is on its way to Redis."""
        asyncio.get_running_loop().call_soon(self._tell, told)

    def _tell(self, told: Iterable[tuple[_Pending, Outcome]]) -> None:
        with self._telling():
            for pending, outcome in told:
                try:
                    pending.tell(outcome)
                except Exception as error:  # noqa: BLE001 - what one raises stops no other
                    context = {"message": f"cannot tell what became of {pending.id}", "exception": error}
                    asyncio.get_running_loop().call_exception_handler(context)

    def _next_batch(self) -> Iterator[_Pending]:
        """Yield as many waiting deliveries as Redis can store without delaying other clients much.

        Their bodies are compressed one after the other, which keeps the dictionary in the processor's cache.
        """
        size = 0
        for _ in range(_BATCH_DELIVERIES):
            if not self._waiting or size > _BATCH_BYTES:
                return
            body = compress_body(self._waiting[0].body)
            size += len(body)
            yield self._waiting.popleft()._replace(body=body)

    async def _store_batch(self, batch: Sequence[_Pending]) -> list[bytes]:
        rows: list[EncodableT] = [value for one in batch for value in (one.id, one.type, one.body)]
        dispositions: list[bytes] = await self._accept(
            keys=[keys.DUE, keys.deliveries(Status.WAITING), keys.COUNTS],
            args=[keys.DELIVERY, keys.BODY, len(batch), *rows, *drain_job_args()],
        )
        return dispositions

    async def _ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask Redis; if that fails, once more over a new connection. StoreUnavailableError if both fail.

        Servers and networks close idle connections. After a fail-over, the host name leads to the new
        primary, but open connections do not. What we ask changes nothing when it is asked again.
        """
        try:
            async with asyncio.timeout(self._within_seconds):
                require_room(self._redis)
                try:
                    return await question()
                except Exception:  # noqa: BLE001 - event loops have errors of their own for closed connections
                    await self._leave_server()
                    return await question()
        except TimeoutError:
            slow = RedisTimeoutError(f"no answer in {self._within_seconds:g} s")
            raise StoreUnavailableError(describe_trouble(self._redis, slow)) from None
        except Exception as error:
            raise StoreUnavailableError(describe_trouble(self._redis, error)) from error

    async def _leave_server(self) -> None:
        """Close the connections that are not in use, so that the next ones are new."""
        with suppress(Exception):  # closing can fail, with TLS or in the event loop; nothing depends on it
            # Connections in use are closed when they meet the same error.
            await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def check(self) -> None:
        """Check that a delivery could be stored now; StoreUnavailableError says why it could not."""
        try:
            await self._ask(self._rehearse)
        except StoreUnavailableError:
            await self._leave_server()
            raise

    async def _rehearse(self) -> None:
        """Do all that storing a delivery needs, without one."""
        await self._store_batch([])  # Redis may refuse scripts, or keys on several nodes
        await self._redis.set(keys.READY, 1, ex=_READY_SECONDS)  # it may refuse writes
        for prefix in keys.PREFIXES:
            if denied := await self._find_denied(args=[prefix, *ACCEPTING]):
                names = ", ".join(name.decode() for name in denied)
                raise NoPermissionError(f"no permission for {names} on keys that begin with {prefix}")

    async def clock_ahead(self) -> timedelta:
        """Return how far this host's clock is ahead of Redis's; StoreUnavailableError if Redis is away."""

        async def compare() -> timedelta:
            before = datetime.now(UTC)
            answer = await self._redis.time()
            return difference(before, datetime.now(UTC), answer)

        return await self._ask(compare)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
