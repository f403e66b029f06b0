"""Operations that tell a storefront, and what it is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from redis import Redis

from tests.support.builders import METERS, ORDER, some_id
from tests.support.event_receivers import FakeStorefront, sender_to
from tests.support.polar_orders import Operations, operations_at
from workers.store import keys

KEY = f"credits:order:{ORDER}:api_usage"
"""The key of the usual order's grant."""

STRANGER = some_id(9)
"""Polar does not know this customer, and refuses every event about them."""


@contextmanager
def telling_operations_at(redis: Redis) -> Iterator[Operations]:
    """Yield operations that tell the storefront."""
    with operations_at(redis) as opened:
        for meter, summed in METERS.items():
            opened.polar.add_meter(meter, summed)
        opened.tells_storefront = True
        yield opened


def told(redis: Redis) -> list[dict[str, Any]]:
    """Return what a storefront that takes everything is told now."""
    storefront = FakeStorefront()
    sender_to(redis, storefront).send_due()
    return storefront.told


def count(redis: Redis, name: str) -> float:
    """Return a count that workers and senders keep."""
    return float(cast(bytes | None, redis.hget(keys.COUNTS, name)) or 0)
