"""A plain purchase stays cheap: Redis runs one command at a time."""

import asyncio
from typing import Any, cast

import pytest
from redis import Redis

from tests.support.builders import order_webhook, some_id
from tests.support.polar_orders import operations_at
from tests.support.real_stores import accept
from tests.support.sealing import seal
from workers.core.delivery import Status
from workers.store.connect_async import intake_for
from workers.store.intake import Disposition, RawDelivery

_ORDERS = 50
_AT_MOST_EACH = 11  # lease 2, claim 2, settle 7
_LOOK_UPS = 1  # with sealed facts: whether the order is one
_ONCE = 60  # what a batch costs, however many orders it has: half of it counts, in all and for the day
_ONCE_STORED = 30  # what a call that stores webhooks costs, however many: its connection, RQ's job


def commands_run(redis: Redis) -> int:
    stats = cast(dict[str, dict[str, Any]], redis.info("commandstats"))
    return sum(int(one["calls"]) for name, one in stats.items() if name != "cmdstat_info")


@pytest.mark.parametrize("has_sealed_facts", [False, True])
@pytest.mark.parametrize("tells_storefront", [False, True])
def test_a_plain_purchase_costs_redis_no_more_commands_than_ever(
    redis: Redis, redis_url: str, *, tells_storefront: bool, has_sealed_facts: bool
) -> None:
    with operations_at(redis) as operations:
        operations.tells_storefront = tells_storefront
        if has_sealed_facts:
            for number in (1, 2):
                accept(redis_url, f"old-{number}", body=order_webhook(id=some_id(_ORDERS + number)))
            operations.run_due()
            seal(redis)
        for number in range(_ORDERS):
            accept(redis_url, f"msg-{number}", body=order_webhook(id=some_id(number)))
        before = commands_run(redis)
        statuses = operations.run_due()
        after = commands_run(redis)
    assert statuses == [Status.GRANTED] * _ORDERS
    each = _AT_MOST_EACH + (_LOOK_UPS if has_sealed_facts else 0)
    assert after - before <= each * _ORDERS + _ONCE


def test_a_webhook_that_comes_with_others_costs_redis_one_command(redis: Redis, redis_url: str) -> None:
    webhooks = [RawDelivery(id=f"msg-{number}", body=order_webhook()) for number in range(_ORDERS)]

    async def accept_all() -> list[Disposition]:
        intake = intake_for(redis_url)
        try:
            return await asyncio.gather(*map(intake.accept, webhooks))
        finally:
            await intake.close()

    before = commands_run(redis)
    assert asyncio.run(accept_all()) == [Disposition.ACCEPTED] * _ORDERS
    assert commands_run(redis) - before <= _ORDERS + _ONCE_STORED
