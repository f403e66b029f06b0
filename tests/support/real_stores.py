"""Drives the stores on a real Redis: accepts deliveries, reads them, settles them, lets time pass."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

from msgspec.structs import replace
from redis import Redis

from config.redis_urls import RedisOptions
from tests.support.builders import grant_of, order_webhook, some_id
from workers.core.claims import Claim, Standing
from workers.core.delivery import Leased, Outcome, Status
from workers.core.envelope import stored_types
from workers.core.grants import Grant, order_subject
from workers.core.plans import Plan
from workers.store import keys
from workers.store.connect_async import intake_for
from workers.store.deliveries import DeliveryStore
from workers.store.intake import Disposition, RawDelivery
from workers.store.ledger import Ledger

USUAL = RedisOptions()
RETAIN = timedelta(days=30)
QUEUE = "rq:queue:credit-granter"


def accept(url: str, *ids: str, body: bytes = b"") -> list[Disposition]:
    """Accept deliveries in this order, each with another order unless ``body`` is given."""

    async def take_all() -> list[Disposition]:
        intake = intake_for(url, types=stored_types(forgets_deleted=True))
        try:
            return [
                await intake.accept(
                    RawDelivery(id=one, body=body or order_webhook(id=some_id(hash(one) % 10**9)))
                )
                for one in ids
            ]
        finally:
            await intake.close()

    return asyncio.run(take_all())


def check_readiness(url: str, options: RedisOptions = USUAL) -> None:
    """Check whether a receiver could store a delivery; StoreUnavailableError if not."""

    async def ask() -> None:
        intake = intake_for(url, options)
        try:
            await intake.check()
        finally:
            await intake.close()

    asyncio.run(ask())


def due_ms(redis: Redis, delivery_id: str) -> float | None:
    return redis.zscore(keys.DUE, delivery_id)


def scores(redis: Redis, key: str) -> dict[str, float]:
    """Return the members of a sorted set with their scores, in their order."""
    found = cast(list[tuple[bytes, float]], redis.zrange(key, 0, -1, withscores=True))
    return {member.decode(): score for member, score in found}


def now_ms(redis: Redis) -> float:
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds / 1000


def let_leases_end(redis: Redis) -> None:
    """End all leases, so that every delivery is due."""
    for delivery_id in cast(list[bytes], redis.zrange(keys.DUE, 0, -1)):
        redis.zadd(keys.DUE, {delivery_id: 1})


def let_pause_end(redis: Redis) -> None:
    """End the pause of Polar; the careful time after it goes on for as long as it would have."""
    left, reduced = max(0, redis.pttl(keys.PAUSE)), redis.pttl(keys.REDUCED_SHARE)
    redis.delete(keys.PAUSE)
    if reduced > left:
        redis.set(keys.REDUCED_SHARE, 0, px=reduced - left)


def ids_of(leased: Sequence[Leased]) -> list[str]:
    return [one.id for one in leased]


def outcome(delivery: Leased, status: Status = Status.GRANTED, reason: str = "", **others: float) -> Outcome:
    return Outcome(
        delivery_id=delivery.id,
        attempt=delivery.attempt,
        status=status,
        reason=reason,
        subject=order_subject(some_id(1)),
        order_id=some_id(1),
        customer_id=some_id(2),
        after_seconds=others.get("after_seconds", 0),
        strike=bool(others.get("strike", False)),
    )


def plan_of(*grants: Grant) -> Plan:
    first = grants[0]
    return Plan(subject=first.subject, customer_id=first.customer_id, order_id=first.order_id, grants=grants)


def claim_of(standing: Standing) -> Claim:
    """Return the standing's own claim, which must exist."""
    assert standing.own is not None
    return standing.own


def settled_story(
    redis_url: str, store: DeliveryStore, ledger: Ledger, status: Status = Status.GRANTED
) -> tuple[Leased, Grant]:
    """Accept, lease, claim and settle one delivery of order 1; return it and its grant."""
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    grant = grant_of(1)
    ledger.claim([(leased.id, plan_of(grant))])
    accepted = [grant] if status is Status.GRANTED else []
    ended = replace(outcome(leased, status, "10 api_usage"), relies_on=(grant.subject,))
    ledger.settle(accepted, [ended])
    return leased, grant
