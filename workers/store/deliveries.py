"""Deliveries in Redis: what was received, what is due, and what became of it."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import merge
from itertools import dropwhile, islice
from typing import cast

from msgspec import Struct
from redis import Redis
from redis.typing import EncodableT

from workers.core.batches import in_batches
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
_LOOKED_AT = 1_000  # deliveries whose types one script reads: some two milliseconds


class Place(Struct, frozen=True, kw_only=True):
    """The place of a delivery among all, which are ordered by when they were received (ms), then by id."""

    at_ms: int
    id: str


class _Search(Struct, frozen=True, kw_only=True):
    """What is looked for in the lists of deliveries."""

    oldest: str
    """The lowest score, as Redis takes it."""
    type_: str | None
    at_once: int
    on_look: Callable[[int], object]


class _Page(Struct, frozen=True, kw_only=True):
    """Ids and times from a list of deliveries, newest first."""

    rows: Sequence[tuple[bytes, float]]
    read: int
    """How many were looked at."""
    last: float
    """The time of the last of those, and how many of them have it."""
    at_last: int


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
        self._list_of_type = redis.register_script(load_script("list_of_type"))
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
            keys=[keys.deliveries(Status.FAILED), keys.deliveries(Status.SKIPPED), keys.DUE],
            args=[
                *(keys.DELIVERY, keys.BODY, keys.DELIVERIES),
                *(int(retain.total_seconds()), _DISMISSED, json.dumps(rows)),
            ],
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

    def listed_about(self, id_: str) -> Iterator[str]:
        """Yield the ids of the settled deliveries about an order or customer that the ledger does not name.

        They come in no order, and some more than once if others are added meanwhile.
        """
        return (one.decode() for one, _ in self._redis.zscan_iter(keys.about(id_), count=_PAGE))

    def newest_about(self, id_: str, start: int, most: int) -> list[str]:
        """Return some of the ids that ``listed_about`` returns: those that failed, then the newest."""
        found = cast(list[bytes], self._redis.zrevrange(keys.about(id_), start, start + most - 1))
        return [one.decode() for one in found]

    def body(self, delivery_id: str) -> bytes:
        """Return the body of a delivery, the bytes that were signed; empty if it is unknown or erased."""
        return decompress_body(cast(bytes | None, self._redis.get(keys.body(delivery_id))) or b"")

    def bodies(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield each of these deliveries, once, with its body; empty if that is unknown or erased."""
        for page in in_batches(dict.fromkeys(ids), _PAGE):
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
        type_: str | None = None,
        at_once: int = _PAGE,
        on_look: Callable[[int], object] = lambda _count: None,
    ) -> Iterator[Delivery]:
        """Yield the deliveries with these statuses, newest first.

        Only those received at ``since`` or later, before ``until``, and behind the place ``after``: the
        last one of the page before. They are read ``at_once`` at a time. With ``type_``, only those of this
        type: Redis looks for them, because they may be few among very many. ``on_look`` is called with the
        number of deliveries in each page that was looked at.
        """
        search = _Search(
            oldest="-inf" if since is None else str(milliseconds_of(since)),
            type_=type_,
            at_once=at_once if type_ is None else _LOOKED_AT,
            on_look=on_look,
        )
        newest = "+inf" if until is None else f"({milliseconds_of(until)}"
        if after is not None and (until is None or after.at_ms < milliseconds_of(until)):
            newest = str(after.at_ms)
        pages = [self._ids(status, newest, search) for status in statuses]
        rows: Iterator[tuple[bytes, float]] = merge(*pages, key=lambda row: (row[1], row[0]), reverse=True)
        if after is not None:
            last = (after.at_ms, after.id.encode())
            rows = dropwhile(lambda row: (row[1], row[0]) >= last, rows)
        while page := [row[0].decode() for row in islice(rows, at_once)]:
            yield from self.get(page)

    def _ids(self, status: Status, newest: str, search: _Search) -> Iterator[tuple[bytes, float]]:
        """Yield ids and times, newest first. Each page begins at the last time of the page before.

        Redis would walk past all that precedes a page that began at a number.
        """
        at, seen = float("nan"), 0  # the last time, and how many deliveries of that time are read
        while True:
            page = self._page(status, newest, search, start=seen)
            search.on_look(page.read)
            yield from page.rows
            if page.read < search.at_once:
                return
            seen = page.at_last + (seen if page.last == at else 0)
            at, newest = page.last, repr(page.last)

    def _page(self, status: Status, newest: str, search: _Search, *, start: int) -> _Page:
        list_, oldest, most = keys.deliveries(status), search.oldest, search.at_once
        if search.type_ is None:
            found = self._redis.zrevrangebyscore(
                list_, newest, oldest, start=start, num=most, withscores=True
            )
            rows = cast(list[tuple[bytes, float]], found)
            last = rows[-1][1] if rows else 0.0
            return _Page(rows=rows, read=len(rows), last=last, at_last=sum(at == last for _, at in rows))
        read, text, at_last, *found = self._list_of_type(
            keys=[list_], args=[keys.DELIVERY, search.type_, newest, oldest, start, most]
        )
        rows = list(zip(found[::2], map(float, found[1::2]), strict=True))
        return _Page(rows=rows, read=read, last=float(text or 0), at_last=at_last)

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
