"""A plain purchase stays cheap: Redis runs one command at a time."""

from typing import Any, cast

import pytest
from redis import Redis

from tests.support.builders import order_webhook, some_id
from tests.support.polar_orders import operations_at
from tests.support.real_stores import accept
from workers.core.delivery import Status

_ORDERS = 50
_AT_MOST_EACH = 14  # lease 2, claim 5, settle 7
_ONCE = 60  # what a batch costs, however many orders it has: half of it counts, in all and for the day


def commands_run(redis: Redis) -> int:
    stats = cast(dict[str, dict[str, Any]], redis.info("commandstats"))
    return sum(int(one["calls"]) for name, one in stats.items() if name != "cmdstat_info")


@pytest.mark.parametrize("tells_storefront", [False, True])
def test_a_plain_purchase_costs_redis_no_more_commands_than_ever(
    redis: Redis, redis_url: str, tells_storefront: bool
) -> None:
    for number in range(_ORDERS):
        accept(redis_url, f"msg-{number}", body=order_webhook(id=some_id(number)))
    with operations_at(redis) as operations:
        operations.tells_storefront = tells_storefront
        before = commands_run(redis)
        statuses = operations.run_due()
        after = commands_run(redis)
    assert statuses == [Status.GRANTED] * _ORDERS
    assert after - before <= _AT_MOST_EACH * _ORDERS + _ONCE
