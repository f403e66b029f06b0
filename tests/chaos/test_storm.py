"""A storm: processes killed and frozen, a Polar that breaks off, webhooks in any order: credits are exact.

``CHAOS_SEEDS=20 CHAOS_ORDERS=2000 pytest tests/chaos/test_storm.py -s`` is a long one; CHAOS_SEED is its
first seed. A seed brings the same webhooks, faults and blows at the same seconds. Where they find the
processes is the kernel's affair: what failed once may take several tries to fail again.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from app.demo.polar import Polar, create_app
from tests.chaos.storm.blows import FROZEN, Blow, Harm, blows_of
from tests.chaos.storm.house import LOG, House, house, thaw
from tests.chaos.storm.post import Post
from tests.chaos.storm.reckoning import Reckoning
from tests.chaos.storm.shop import RULES_FILE, Shop
from tests.chaos.storm.weather import FAULTS, LIGHTNING, fault, faults_of
from tests.support.builders import METERS
from tests.support.processes import TOKEN, credits_in, eventually
from tests.support.servers import running
from workers.core.delivery import Status
from workers.store import keys
from workers.store.connect import connect
from workers.store.queue import workers_alive
from workers.store.stores import Stores, stores_in

_SHORT_ORDERS = 66
_ORDERS_PER_SECOND = 12  # more are too much for two cores

_FIRST_SEED = int(os.environ.get("CHAOS_SEED", "2"))
_SEEDS = int(os.environ.get("CHAOS_SEEDS", "1"))
_ORDERS = int(os.environ.get("CHAOS_ORDERS", _SHORT_ORDERS))
_STORM_SECONDS = _ORDERS / _ORDERS_PER_SECOND
_TAIL_SECONDS = 5  # how long the weather stays bad when all webhooks have come
_PROMISE_SECONDS = 120  # when the weather has cleared, nothing waits longer
_LIMIT_SECONDS = _STORM_SECONDS + 3 * _PROMISE_SECONDS
_POLL_SECONDS = 0.05
_REQUESTS_PER_MINUTE = 100_000  # the rate limit has tests of its own


@dataclass(kw_only=True)
class Storm:
    """One storm: what is planned, and how long each part of it took."""

    seed: int
    polar: Polar = field(init=False)
    took: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shop = Shop(self.seed, _ORDERS, _STORM_SECONDS)
        self.blows = blows_of(self.seed, _STORM_SECONDS)
        self.faults = faults_of(self.seed, _STORM_SECONDS)
        self.polar = _polar_of(self.shop)

    def rage(self, service: House, post: Post, held: Stores) -> None:
        """Send all letters and strike all blows; let the weather clear when most of it has been met."""
        began = time.monotonic()
        self.polar.faults.extend(fault(kind, service.kill_workers) for kind in self.faults)
        with suppress(TimeoutError):
            asyncio.run(self._rage(service, post))
        _await_settled(held, _TAIL_SECONDS)
        self.faults = self.faults[: len(self.faults) - len(self.polar.faults)]
        self.polar.faults.clear()
        self.took["storm"] = time.monotonic() - began

    async def _rage(self, service: House, post: Post) -> None:
        async with asyncio.timeout(_STORM_SECONDS + _PROMISE_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(post.deliver(self.shop.letters))
            for blow in self.blows:
                group.create_task(_fall(blow, service))

    def settle(self, held: Stores) -> None:
        """Return when nothing waits any more, or the promise is broken."""
        began = time.monotonic()
        _await_settled(held, _PROMISE_SECONDS)
        self.took["settling"] = time.monotonic() - began


async def _fall(blow: Blow, service: House) -> None:
    await asyncio.sleep(blow.at_seconds)
    struck = await asyncio.to_thread(service.strike, blow)
    if blow.harm in FROZEN:
        try:
            await asyncio.sleep(blow.frozen_seconds)
        finally:
            thaw(blow, struck)


def _polar_of(shop: Shop) -> Polar:
    polar = Polar(token=TOKEN, requests_per_minute=_REQUESTS_PER_MINUTE)
    for meter, summed in METERS.items():
        polar.add_meter(meter, summed)
    for customer_id in shop.customers:
        polar.add_customer(customer_id)
    return polar


def _await_settled(held: Stores, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _is_settled(held) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _is_settled(held: Stores) -> bool:
    try:
        return not held.deliveries.count_by_status()[Status.WAITING] and not held.redis.exists(keys.DUE)
    except RedisError:  # it is being started again
        return False


@pytest.mark.timeout(_LIMIT_SECONDS)
@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(_FIRST_SEED, _FIRST_SEED + _SEEDS))
def test_whatever_the_weather_every_webhook_leads_to_exactly_its_credit(seed: int, tmp_path: Path) -> None:
    _say(f"\nCHAOS_SEED={seed} CHAOS_ORDERS={_ORDERS} pytest tests/chaos/test_storm.py -s  # plays it again")
    storm = Storm(seed=seed)
    with running(create_app(storm.polar)) as polar_url:
        credits_ = credits_in(
            tmp_path,
            polar_url,
            rules=RULES_FILE,
            CREDITS_POLAR_REQUESTS_PER_MINUTE=str(_REQUESTS_PER_MINUTE),
        )
        with house(credits_) as service, connect(service.redis.url) as connection:
            eventually(lambda: workers_alive(connection, datetime.now(UTC)) == len(service.workers))
            post, held = Post(service.url), stores_in(connection, credits_.read())
            storm.rage(service, post, held)
            storm.settle(held)
            service.close()
            reckoning = Reckoning(
                shop=storm.shop, post=post, polar=storm.polar, held=held, log=tmp_path / LOG
            )
            wrongs = reckoning.wrongs()
            _report(storm, service, reckoning)
    assert not wrongs, "\n".join(wrongs)


def _report(storm: Storm, service: House, reckoning: Reckoning) -> None:
    stored = reckoning.stored.values()
    said = len(reckoning.post.acknowledged)
    _say(f"{len(storm.shop.letters)} webhooks: {said} acknowledged, {len(stored)} stored")
    _say(f"their tries were answered: {_counted(reckoning.post.tries)}")
    _say(f"they ended: {_counted(Counter(one.status for one in stored))}")
    _say(f"leases for each: {_counted(Counter(f'{one.attempts}' for one in stored))}")
    _say(f"at Polar: {len(storm.polar.events)} events; requests met: {_counted(Counter(storm.faults))}")
    _say(f"struck: {_counted(service.harmed)} (of {len(storm.blows)} blows); {service.restarts} restarts")
    _say("; ".join(f"{part} {seconds:.1f} s" for part, seconds in storm.took.items()))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def test_a_seed_brings_the_same_storm_again() -> None:
    assert Shop(1, 50, 5).letters == Shop(1, 50, 5).letters != Shop(2, 50, 5).letters
    assert faults_of(1, 5) == faults_of(1, 5) != faults_of(2, 5)
    assert blows_of(1, 5) == blows_of(1, 5) != blows_of(2, 5)


def test_the_short_storm_has_every_fault_and_every_harm() -> None:
    seconds = _SHORT_ORDERS / _ORDERS_PER_SECOND
    assert set(faults_of(_FIRST_SEED, seconds)) == {*FAULTS, *LIGHTNING}
    assert {blow.harm for blow in blows_of(_FIRST_SEED, seconds)} == set(Harm)
