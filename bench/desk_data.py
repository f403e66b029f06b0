"""Fills Redis with a large shop: an order is credited by the service itself, and copied within Redis."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from redis import Redis

from bench.backlog import await_settled, fill, release
from bench.harness import Harness
from workers.core.delivery import Status
from workers.core.grants import order_subject
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.desk import MOST_ACTIONS, DeskStore

_SCRIPT = Path(__file__).with_suffix(".lua")
_AT_ONCE = 5_000
_ORDERS_EACH = 5
_DAYS = 30
_DAY_MS = 86_400_000
_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Shop:
    """What the pages are opened with."""

    delivery: str
    order: str
    customer: str
    """Somebody with five orders."""
    crowd: str
    """A customer with very many orders."""
    middle: str
    """A place in the middle of the list of deliveries."""
    failed: str


def fill_shop(harness: Harness, *, grants: int, crowd: int, failed: int) -> Shop:
    """Store ``grants`` settled orders of the last 30 days, ``crowd`` of them of one customer."""
    pattern = _credit_one(harness)
    with harness.redis() as redis:
        redis.config_set("appendonly", "no")  # written as a whole below
        begun = int(time.time() * 1000) - _DAYS * _DAY_MS
        apart = _DAYS * _DAY_MS / grants
        _copy(redis, pattern, grants, crowd=crowd, begun=begun, apart=apart)
        _copy(redis, pattern, failed, crowd=0, begun=begun, apart=apart * grants / failed, have_failed=True)
        _fill_days(redis)
        _fill_actions(redis)
        _write_down(redis)
    ordinary = grants - _ORDERS_EACH
    return Shop(
        delivery=pattern,
        order=_uuid(1, ordinary),
        customer=_uuid(2, ordinary // _ORDERS_EACH + 1),
        crowd=_uuid(2, 0),
        middle=f"{begun + int(grants / 2 * apart)}:bench-{grants // 2}",
        failed="failed-1",
    )


def _credit_one(harness: Harness) -> str:
    """Let the service credit two orders; return the delivery of one."""
    fill(harness, 2)
    with harness.workers():
        release(harness)
        await_settled(harness)
    with harness.redis() as redis:
        return next(iter(DeliveryStore(redis).newest([Status.GRANTED]))).id


def _copy(
    redis: Redis,
    pattern: str,
    count: int,
    *,
    crowd: int,
    begun: int,
    apart: float,
    have_failed: bool = False,
) -> None:
    (one,) = DeliveryStore(redis).get([pattern])
    status = Status.FAILED if have_failed else Status.GRANTED
    of_pattern = [keys.delivery(pattern), keys.body(pattern), order_subject(one.order_id or "")]
    copy = redis.register_script(_SCRIPT.read_text())
    for first in range(1, count + 1, _AT_ONCE):
        some = min(_AT_ONCE, count + 1 - first)
        copy(
            keys=[*of_pattern, keys.deliveries(status), keys.CUSTOMERS, keys.AUDIT],
            args=[
                keys.DELIVERY,
                keys.BODY,
                first,
                some,
                crowd,
                _ORDERS_EACH,
                begun,
                apart,
                _DAYS * _DAY_MS // 1000,
                int(have_failed),
            ],
        )


def _fill_days(redis: Redis) -> None:
    """Let every day have the counts of today."""
    today = int(time.time() * 1000) // _DAY_MS
    for ago in range(1, _DAYS):
        redis.copy(f"{keys.DAY}{today}", f"{keys.DAY}{today - ago}")


def _fill_actions(redis: Redis) -> None:
    notes = DeskStore(redis)
    for number in range(MOST_ACTIONS):
        notes.note_action(name="Ada", session="12345678", what=f"replay bench-{number}")


def _write_down(redis: Redis) -> None:
    """Let Redis write all of it to its file, and each write from then on."""
    redis.config_set("appendonly", "yes")
    while _is_writing(redis):
        time.sleep(_POLL_SECONDS)


def _is_writing(redis: Redis) -> bool:
    state = cast(dict[str, int], redis.info("persistence"))
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


def _uuid(kind: int, number: int) -> str:
    return f"{number:08x}-0000-4000-800{kind}-{number:012x}"
