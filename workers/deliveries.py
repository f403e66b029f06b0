"""The store of raw deliveries: what came, whose turn it is, and what became of it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from heapq import merge
from itertools import count, islice
from typing import cast

from redis import Redis
from redis.typing import EncodableT

from workers import keys
from workers.queue import wake_args
from workers.records import Delivery, Lease, Leased, Status, moment_of
from workers.scripts import lua

# A killed worker's share is due again after this long. Longer than a round (10 s) and the last request
# in it (20 s) may take; short enough that credit comes within the minute all the same.
LEASE_SECONDS = 40

_PAGE = 200

# What lists show; bodies are a hundred times larger.
_SHOWN = (
    "status", "type", "reason", "received_at", "settled_at", "attempts", "subject", "order_id",
    "customer_id",
)  # fmt: skip


class DeliveryStore:
    """Deliveries in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lease = redis.register_script(lua("lease"))
        self._reopen = redis.register_script(lua("reopen"))

    def lease(self, most: int) -> Lease:
        """Take up to ``most`` deliveries that are due, for ``LEASE_SECONDS``; none during a pause."""
        outages, *taken = self._lease(
            keys=[keys.DUE, keys.PAUSE, keys.OUTAGE, keys.PROBE, keys.deliveries(Status.WAITING)],
            args=[keys.DELIVERY, LEASE_SECONDS * 1000, most, *wake_args()],
        )
        return Lease(deliveries=tuple(map(_leased, taken)), outages=outages)

    def reopen(self, ids: Sequence[str]) -> tuple[Leased, ...]:
        """Take these deliveries whatever became of them; unknown ids are left out."""
        args: list[EncodableT] = [keys.DELIVERY, keys.DELIVERIES, LEASE_SECONDS * 1000, *ids]
        return tuple(map(_leased, self._reopen(keys=[keys.DUE], args=args)))

    def get(self, ids: Sequence[str]) -> list[Delivery]:
        """Return those of ``ids`` that are known, in the same order."""
        pipeline = self._redis.pipeline(transaction=False)
        for delivery_id in ids:
            pipeline.hmget(keys.delivery(delivery_id), *_SHOWN)
        found = zip(ids, pipeline.execute(), strict=True)
        return [_delivery(delivery_id, values) for delivery_id, values in found if values[0]]

    def about(self, order_id: str) -> list[Delivery]:
        """Return the settled deliveries that told of an order."""
        ids = cast(set[bytes], self._redis.smembers(keys.about(order_id)))
        return self.get(sorted(id_.decode() for id_ in ids))

    def body(self, delivery_id: str) -> bytes:
        """Return the body of a delivery as it was signed."""
        return cast(bytes | None, self._redis.hget(keys.delivery(delivery_id), "body")) or b""

    def newest(
        self, statuses: Sequence[Status] = tuple(Status), *, since: datetime | None = None
    ) -> Iterator[Delivery]:
        """Yield deliveries of these statuses that came since, newest first, read page by page."""
        oldest = "-inf" if since is None else str(_milliseconds(since))
        pages = [self._ids(status, oldest) for status in statuses]
        ids = merge(*pages, key=lambda row: row[1], reverse=True)
        while page := [row[0].decode() for row in islice(ids, _PAGE)]:
            yield from self.get(page)

    def _ids(self, status: Status, oldest: str) -> Iterator[tuple[bytes, float]]:
        for start in count(0, _PAGE):
            page = self._redis.zrevrangebyscore(
                keys.deliveries(status), "+inf", oldest, start=start, num=_PAGE, withscores=True
            )
            yield from cast(list[tuple[bytes, float]], page)
            if len(page) < _PAGE:
                return

    def counts(self) -> dict[Status, int]:
        """Return how many deliveries are kept, by status."""
        pipeline = self._redis.pipeline(transaction=False)
        for status in Status:
            pipeline.zcard(keys.deliveries(status))
        return dict(zip(Status, pipeline.execute(), strict=True))

    def oldest_waiting(self) -> datetime | None:
        """Return when the delivery that waits longest came."""
        first = cast(
            list[tuple[bytes, float]],
            self._redis.zrange(keys.deliveries(Status.WAITING), 0, 0, withscores=True),
        )
        return moment_of(first[0][1]) if first else None


def _leased(row: list[bytes]) -> Leased:
    delivery_id, type_, body, strikes, attempt = row
    return Leased(
        id=delivery_id.decode(), type=type_.decode(), body=body, strikes=int(strikes), attempt=int(attempt)
    )


def _delivery(delivery_id: str, values: Sequence[bytes | None]) -> Delivery:
    texts = {name: (value or b"").decode() for name, value in zip(_SHOWN, values, strict=True)}
    return Delivery(
        id=delivery_id,
        type=texts["type"],
        status=Status(texts["status"]),
        reason=texts["reason"],
        received_at=moment_of(texts["received_at"]),
        settled_at=moment_of(texts["settled_at"]) if texts["settled_at"] else None,
        attempts=int(texts["attempts"]),
        subject=texts["subject"] or None,
        order_id=texts["order_id"] or None,
        customer_id=texts["customer_id"] or None,
    )


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
