"""Deliveries in Redis: what was received, what is due, and what became of it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import dropwhile, islice
from typing import cast

from redis import Redis
from redis.typing import EncodableT

from workers.core.delivery import Delivery, Lease, Leased, Status
from workers.core.grants import order_subject
from workers.core.products import product_name
from workers.store import keys
from workers.store.bodies import compress_body, decompress_body
from workers.store.delivery_hashes import read_delivery
from workers.store.facts import read_fields
from workers.store.format import FORMAT
from workers.store.queue import drain_job_args
from workers.store.scripts import load_script, milliseconds_of, moment_of
from workers.timings import DEFAULT_TIMINGS, Timings

_DISMISSED = "dismissed: "  # precedes the reason of a dismissed delivery

_PAGE = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The place of a delivery among all, which are ordered by when they were received (ms), then by id."""

    at_ms: int
    id: str


class DeliveryStore:
    """The deliveries in Redis."""

    def __init__(self, redis: Redis, timings: Timings = DEFAULT_TIMINGS) -> None:
        self._redis = redis
        self._lease_ms = int(timings.lease_seconds * 1000)
        # The first arguments of the scripts that lease deliveries by their ids.
        self._lease_by_id: Sequence[EncodableT] = (keys.DELIVERY, keys.BODY, keys.DELIVERIES, self._lease_ms)
        self._due_at_once: Sequence[EncodableT] = (keys.DELIVERY, keys.BODY, keys.DELIVERIES, 0)
        self._lease = redis.register_script(load_script("lease"))
        self._reopen = redis.register_script(load_script("reopen"))
        self._store_and_lease = redis.register_script(load_script("store_and_lease"))
        self._dismiss = redis.register_script(load_script("dismiss"))

    def lease(self, most: int) -> Lease:
        """Lease up to ``most`` deliveries that are due; none during a pause."""
        outages, *leased = self._lease(
            keys=[keys.DUE, keys.PAUSE, keys.OUTAGE, keys.PROBE, keys.deliveries(Status.WAITING)],
            args=[keys.DELIVERY, keys.BODY, self._lease_ms, most, *drain_job_args()],
        )
        return Lease(deliveries=tuple(map(_leased, leased)), outages=outages)

    def reopen(
        self, ids: Sequence[str], *, by_name: bool = False, replayed_by: str = ""
    ) -> tuple[Leased, ...]:
        """Lease these deliveries, whatever their status; ids that are unknown or erased are left out.

        ``by_name`` says that a person has named them: what they are about is then no longer dismissed.
        ``replayed_by`` says who wants them to run again, for people who look at them.
        """
        args = [*self._lease_by_id, int(by_name), replayed_by, *ids]
        return tuple(map(_leased, self._reopen(keys=[keys.DUE], args=args)))

    def store_and_lease(self, rows: Sequence[tuple[str, str, bytes]]) -> tuple[Leased, ...]:
        """Store deliveries (id, type, body) that no receiver accepted, and lease them; known ones run again.

        The caller works on them itself. If it is killed, a worker does so when the lease ends.
        """
        args = [value for id_, type_, body in rows for value in (id_, type_, compress_body(body))]
        leased = self._store_and_lease(keys=[keys.DUE, keys.FORMAT], args=[*self._lease_by_id, FORMAT, *args])
        return tuple(map(_leased, leased))

    def make_due(self, ids: Sequence[str], *, by_name: bool = False, replayed_by: str = "") -> None:
        """Make these deliveries due, whatever their status: workers run them. Else it is as ``reopen``."""
        self._reopen(keys=[keys.DUE], args=[*self._due_at_once, int(by_name), replayed_by, *ids])

    def store_due(self, rows: Sequence[tuple[str, str, bytes]]) -> None:
        """Store deliveries (id, type, body) that no receiver accepted, and make them due for the workers."""
        args = [value for id_, type_, body in rows for value in (id_, type_, compress_body(body))]
        self._store_and_lease(keys=[keys.DUE, keys.FORMAT], args=[*self._due_at_once, FORMAT, *args])

    def dismiss(self, ids: Sequence[str], *, retain: timedelta) -> None:
        """Dismiss those of ``ids`` that failed: they become skipped, and expire after ``retain``.

        Nothing credits what they are about, until one of its deliveries is reopened by name.
        """
        rows = [
            {"id": one.id, "lists": [keys.about(id_) for id_ in (one.order_id, one.customer_id) if id_]}
            for one in self.get(ids)
        ]
        self._dismiss(
            keys=[keys.deliveries(Status.FAILED), keys.deliveries(Status.SKIPPED)],
            args=[keys.DELIVERY, keys.BODY, int(retain.total_seconds()), _DISMISSED, json.dumps(rows)],
        )

    def get(self, ids: Sequence[str]) -> list[Delivery]:
        """Return those of ``ids`` that are known, in the same order."""
        pipeline = self._redis.pipeline(transaction=False)
        for delivery_id in ids:
            pipeline.hgetall(keys.delivery(delivery_id))
        found = zip(ids, pipeline.execute(), strict=True)
        return [read_delivery(delivery_id, fields) for delivery_id, fields in found if b"status" in fields]

    def about_order(self, order_id: str) -> list[Delivery]:
        """Return the settled deliveries about an order: the one that claimed it, and those in its list."""
        return self.about_orders([order_id])[0]

    def about_orders(self, order_ids: Sequence[str]) -> list[list[Delivery]]:
        """Return the settled deliveries about each of these orders, as ``about_order`` does."""
        pipeline = self._redis.pipeline(transaction=False)
        for order_id in order_ids:
            pipeline.zrange(keys.about(order_id), 0, -1)
        claimers = read_fields(self._redis, [(order_subject(one), "delivery") for one in order_ids])
        listed = [
            sorted(id_.decode() for id_ in {*ids, *([claimer] if claimer else [])})
            for ids, claimer in zip(pipeline.execute(), claimers, strict=True)
        ]
        known = {one.id: one for one in self.get([id_ for ids in listed for id_ in ids])}
        settled = {id_: one for id_, one in known.items() if one.status is not Status.WAITING}
        return [[settled[id_] for id_ in ids if id_ in settled] for ids in listed]

    def listed_about(self, id_: str) -> set[str]:
        """Return the ids of the settled deliveries about an order or customer, but those the ledger names."""
        return {one.decode() for one in cast(list[bytes], self._redis.zrange(keys.about(id_), 0, -1))}

    def newest_about(self, id_: str, start: int, most: int) -> list[str]:
        """Return some of the ids that ``listed_about`` returns: those that failed, then the newest."""
        found = cast(list[bytes], self._redis.zrevrange(keys.about(id_), start, start + most - 1))
        return [one.decode() for one in found]

    def body(self, delivery_id: str) -> bytes:
        """Return the body of a delivery, the bytes that were signed; empty if it is unknown or erased."""
        return decompress_body(cast(bytes | None, self._redis.get(keys.body(delivery_id))) or b"")

    def bodies(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield each of these deliveries, once, with its body; empty if that is unknown or erased."""
        left = iter(dict.fromkeys(ids))
        while page := list(islice(left, _PAGE)):
            bodies = cast(list[bytes | None], self._redis.mget([keys.body(id_) for id_ in page]))
            for id_, body in zip(page, bodies, strict=True):
                yield id_, decompress_body(body or b"")

    def product_names(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the product's name in each of these deliveries whose body is kept and has one."""
        found = ((id_, product_name(body)) for id_, body in self.bodies(ids))
        return {id_: name for id_, name in found if name}

    def newest(
        self,
        statuses: Sequence[Status] = tuple(Status),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        after: Place | None = None,
        at_once: int = _PAGE,
    ) -> Iterator[Delivery]:
        """Yield the deliveries with these statuses, newest first.

        Only those received at ``since`` or later, before ``until``, and behind the place ``after``: the
        last one of the page before. They are read ``at_once`` at a time.
        """
        oldest = "-inf" if since is None else str(milliseconds_of(since))
        newest = "+inf" if until is None else f"({milliseconds_of(until)}"
        if after is not None and (until is None or after.at_ms < milliseconds_of(until)):
            newest = str(after.at_ms)
        pages = [self._ids(status, oldest, newest, at_once) for status in statuses]
        rows: Iterator[tuple[bytes, float]] = merge(*pages, key=lambda row: (row[1], row[0]), reverse=True)
        if after is not None:
            last = (after.at_ms, after.id.encode())
            rows = dropwhile(lambda row: (row[1], row[0]) >= last, rows)
        while page := [row[0].decode() for row in islice(rows, at_once)]:
            yield from self.get(page)

    def _ids(self, status: Status, oldest: str, newest: str, at_once: int) -> Iterator[tuple[bytes, float]]:
        """Yield ids and times, newest first. Each page begins at the last time of the page before.

        Redis would walk past all that precedes a page that began at a number.
        """
        at, seen = float("nan"), 0  # the last time, and how many deliveries of that time are read
        while True:
            rows = self._redis.zrevrangebyscore(
                keys.deliveries(status), newest, oldest, start=seen, num=at_once, withscores=True
            )
            page = cast(list[tuple[bytes, float]], rows)
            yield from page
            if len(page) < at_once:
                return
            last = page[-1][1]
            seen = sum(score == last for _, score in page) + (seen if last == at else 0)
            at, newest = last, repr(last)

    def count_by_status(self) -> dict[Status, int]:
        """Return the number of deliveries in Redis, by status."""
        pipeline = self._redis.pipeline(transaction=False)
        for status in Status:
            pipeline.zcard(keys.deliveries(status))
        return dict(zip(Status, pipeline.execute(), strict=True))

    def due_at(self, delivery_id: str) -> datetime | None:
        """Return when a delivery is next due; for one that a worker has, when its lease ends."""
        due = self._redis.zscore(keys.DUE, delivery_id)
        return None if due is None else moment_of(due)

    def last_received(self) -> datetime | None:
        """Return when the newest delivery was received."""
        pipeline = self._redis.pipeline(transaction=False)
        for status in Status:
            pipeline.zrange(keys.deliveries(status), -1, -1, withscores=True)
        found = cast(list[list[tuple[bytes, float]]], pipeline.execute())
        moments = [at for newest in found for _, at in newest]
        return moment_of(max(moments)) if moments else None

    def oldest_waiting(self) -> datetime | None:
        """Return when the oldest waiting delivery was received."""
        first = cast(
            list[tuple[bytes, float]],
            self._redis.zrange(keys.deliveries(Status.WAITING), 0, 0, withscores=True),
        )
        return moment_of(first[0][1]) if first else None


def _leased(row: list[bytes]) -> Leased:
    delivery_id, type_, body, strikes, attempt = row
    return Leased(
        id=delivery_id.decode(),
        type=type_.decode(),
        body=decompress_body(body),
        strikes=int(strikes),
        attempt=int(attempt),
    )
