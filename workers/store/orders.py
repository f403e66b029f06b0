"""Looks up orders for the storefront, and wakes those who wait for one when it is settled."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec.structs import replace
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from workers.core.credit_status import CreditState, credit_state
from workers.core.delivery import Delivery
from workers.core.grants import order_subject
from workers.core.upcoming import upcoming
from workers.errors import StoreUnavailableError
from workers.store import keys
from workers.store.delivery_hashes import read_delivery
from workers.store.full_disk import describe_trouble
from workers.store.ledger_hashes import read_standing
from workers.store.scripts import load_script

_MOST_DELIVERIES = 20  # about one order; more than two or three are rare
_RECONNECT_SECONDS = 1.0
_READ_SECONDS = 5.0


class OrderReader:
    """Reads what is known of an order."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._find = redis.register_script(load_script("find_order"))

    async def read(self, order_id: str) -> CreditState:
        """Return the state of an order, in one round trip; StoreUnavailableError if Redis does not answer."""
        try:
            found, deliveries = await self._find(
                keys=[order_subject(order_id), keys.about(order_id)],
                args=[keys.DELIVERY, _MOST_DELIVERIES, keys.CHAIN],
            )
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(describe_trouble(self._redis, error)) from error
        standing = read_standing(order_subject(order_id), found)
        state = credit_state(standing.claims, [delivery_of(id_, fields) for id_, fields in deliveries])
        return replace(state, upcoming=upcoming(standing))


class Settlements:
    """Wakes those who wait for an order whenever a worker settles something of it.

    One connection listens for all orders. While it is lost, nobody is woken. When it is back, everybody is,
    because a settlement may have been missed.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self.is_stopped = False
        """Whether waiting is over, because the process ends."""

    @property
    def waiting(self) -> int:
        """Return how many are waiting."""
        return sum(map(len, self._waiting.values()))

    @contextmanager
    def watch(self, order_id: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set when something of the order is settled. Whoever waits clears it."""
        event = asyncio.Event()
        self._waiting[order_id].add(event)
        try:
            yield event
        finally:
            self._waiting[order_id].discard(event)
            if not self._waiting[order_id]:
                del self._waiting[order_id]

    def stop(self) -> None:
        """Wake everybody, for the last time."""
        self.is_stopped = True
        self._wake(list(self._waiting))

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            with suppress(RedisError, OSError):
                async with self._redis.pubsub() as channel:
                    await self._listen(channel)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self, channel: PubSub) -> None:
        await channel.subscribe(keys.SETTLED)
        while True:
            # Between two messages redis-py checks the connection, if it was made with a health check.
            message = await channel.get_message(timeout=_READ_SECONDS)
            if message and message["type"] == "subscribe":  # also after redis-py has reconnected
                self._wake(list(self._waiting))
            elif message:
                self._wake(message["data"].decode().split())

    def _wake(self, order_ids: Sequence[str]) -> None:
        for order_id in order_ids:
            for event in self._waiting.get(order_id, ()):
                event.set()


def delivery_of(delivery_id: bytes, flat: Sequence[bytes]) -> Delivery:
    """Return the delivery that a script has returned: its id and its hash."""
    return read_delivery(delivery_id.decode(), dict(zip(flat[::2], flat[1::2], strict=True)))
