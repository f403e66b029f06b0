"""A storm: processes are killed and frozen, Polar fails, webhooks come in any order; credits stay exact.

``CHAOS_SEEDS=20 CHAOS_ORDERS=2000 pytest tests/chaos/test_storm.py -s`` is a long one; CHAOS_SEED is its
first seed; CHAOS_RATE is how many orders come in a second: fewer on a busy machine. A seed and a rate give
the same webhooks and faults at the same seconds. Where they find the processes depends on the kernel, so a
failure may take several runs to happen again.
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

from app.demo.polar import create_app
from tests.chaos.storm.final_checks import FinalChecks
from tests.chaos.storm.polar_faults import FAULTS, WORKER_KILLS, plan_polar_faults, polar_fault
from tests.chaos.storm.process_faults import FROZEN, Harm, ProcessFault, plan_process_faults
from tests.chaos.storm.running_service import LOG, RunningService, run_service, thaw
from tests.chaos.storm.shop import RULES_FILE, PlannedDispute, Shop
from tests.chaos.storm.stumbling_polar import StumblingPolar
from tests.chaos.storm.webhook_sender import WebhookSender
from tests.support.builders import METERS
from tests.support.processes import TOKEN, credits_in, eventually
from tests.support.servers import running
from workers.core.delivery import Status
from workers.store import keys
from workers.store.connect import connect
from workers.store.queue import workers_alive
from workers.store.stores import Stores, stores_in

_SHORT_ORDERS = 66
_ORDERS_PER_SECOND = float(os.environ.get("CHAOS_RATE", "12"))  # more are too much for two cores

_FIRST_SEED = int(os.environ.get("CHAOS_SEED", "2"))
_SEEDS = int(os.environ.get("CHAOS_SEEDS", "1"))
_ORDERS = int(os.environ.get("CHAOS_ORDERS", _SHORT_ORDERS))
_STORM_SECONDS = _ORDERS / _ORDERS_PER_SECOND
_TAIL_SECONDS = 5  # how long Polar keeps failing after the last webhook
_PROMISE_SECONDS = 120  # after the faults, nothing waits longer
_LIMIT_SECONDS = _STORM_SECONDS + 3 * _PROMISE_SECONDS
_POLL_SECONDS = 0.05
_REQUESTS_PER_MINUTE = 100_000  # the rate limit has tests of its own


@dataclass(kw_only=True)
class StormRun:
    """One storm: its plan, and how long each part of it took."""

    seed: int
    polar: StumblingPolar = field(init=False)
    took: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shop = Shop(self.seed, _ORDERS, _STORM_SECONDS, datetime.now(UTC))
        self.process_faults = plan_process_faults(self.seed, _STORM_SECONDS)
        self.faults = plan_polar_faults(self.seed, _STORM_SECONDS)
        self.polar = _polar_of(self.shop, self.seed)

    def run(self, service: RunningService, sender: WebhookSender, held: Stores) -> None:
        """Send all webhooks and apply all faults; then end Polar's faults."""
        began = time.monotonic()
        self.polar.faults.extend(polar_fault(kind, service.kill_workers) for kind in self.faults)
        with suppress(TimeoutError):
            asyncio.run(self._run(service, sender))
        _await_settled(held, _TAIL_SECONDS)
        self.faults = self.faults[: len(self.faults) - len(self.polar.faults)]
        self.polar.faults.clear()
        self.took["storm"] = time.monotonic() - began

    async def _run(self, service: RunningService, sender: WebhookSender) -> None:
        async with asyncio.timeout(_STORM_SECONDS + _PROMISE_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(sender.deliver(self.shop.webhooks))
            for dispute in self.shop.disputes:
                group.create_task(self._lose(dispute))
            for process_fault in self.process_faults:
                group.create_task(_apply_process_fault(process_fault, service))

    async def _lose(self, dispute: PlannedDispute) -> None:
        await asyncio.sleep(dispute.at_seconds)
        lost = dispute.sent
        self.polar.add_order(**dispute.order)
        self.polar.add_dispute(
            lost.order_id, id=lost.dispute_id, amount=lost.disputed_cents, tax_amount=lost.disputed_cents // 5
        )

    def settle(self, held: Stores) -> None:
        """Return when nothing waits any more and every dispute is found, or after the promised time."""
        began = time.monotonic()
        # Who looked for disputes, or read a grant back, may have been killed: for minutes others would wait.
        held.redis.delete(keys.RECONCILED, keys.CONFIRMING)
        disputes = [dispute.delivery_id for dispute in self.shop.disputes]
        deadline = began + _PROMISE_SECONDS
        while len(held.deliveries.get(disputes)) < len(disputes) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        _await_settled(held, _PROMISE_SECONDS)
        self.took["settling"] = time.monotonic() - began


async def _apply_process_fault(process_fault: ProcessFault, service: RunningService) -> None:
    await asyncio.sleep(process_fault.at_seconds)
    harmed_pids = await asyncio.to_thread(service.apply_fault, process_fault)
    if process_fault.harm in FROZEN:
        try:
            await asyncio.sleep(process_fault.frozen_seconds)
        finally:
            thaw(process_fault, harmed_pids)


def _polar_of(shop: Shop, seed: int) -> StumblingPolar:
    polar = StumblingPolar(
        token=TOKEN, requests_per_minute=_REQUESTS_PER_MINUTE, seed=seed, expected_orders=_ORDERS
    )
    for meter, summed in METERS.items():
        polar.add_meter(meter, summed)
    for customer_id in shop.customers:
        polar.add_customer(customer_id)
    for plan in shop.plans.values():
        polar.add_subscription(**plan.subscription())
    return polar


def _await_settled(held: Stores, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _is_settled(held) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _is_settled(held: Stores) -> bool:
    try:
        is_waiting = held.deliveries.count_by_status()[Status.WAITING]
        is_overdue = held.redis.zcount(keys.INSTALMENTS, "-inf", time.time() * 1000)  # this Polar's time
        return not is_waiting and not is_overdue and not held.redis.exists(keys.DUE, keys.UNCONFIRMED)
    except RedisError:  # it is being started again
        return False


@pytest.mark.timeout(_LIMIT_SECONDS)
@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(_FIRST_SEED, _FIRST_SEED + _SEEDS))
def test_whatever_the_weather_every_webhook_leads_to_exactly_its_credit(seed: int, tmp_path: Path) -> None:
    _say(f"\nCHAOS_SEED={seed} CHAOS_ORDERS={_ORDERS} pytest tests/chaos/test_storm.py -s  # plays it again")
    storm = StormRun(seed=seed)
    with running(create_app(storm.polar)) as polar_url:
        credits_ = credits_in(
            tmp_path,
            polar_url,
            rules=RULES_FILE,
            CREDITS_POLAR_REQUESTS_PER_MINUTE=str(_REQUESTS_PER_MINUTE),
            CREDITS_RECONCILE_EVERY="2s",  # by rules without credit_from, it looks for disputes alone
        )
        with run_service(credits_) as service, connect(service.redis.url) as connection:
            eventually(lambda: workers_alive(connection) == len(service.workers))
            sender, held = WebhookSender(service.url), stores_in(connection, credits_.read())
            storm.run(service, sender, held)
            storm.settle(held)
            service.close()
            checks = FinalChecks(
                shop=storm.shop, sender=sender, polar=storm.polar, held=held, log=tmp_path / LOG
            )
            find_errors = checks.find_errors()
            _report(storm, service, checks)
    assert not find_errors, "\n".join(find_errors)


def _report(storm: StormRun, service: RunningService, checks: FinalChecks) -> None:
    stored = checks.stored.values()
    said = len(checks.sender.acknowledged)
    _say(f"{len(storm.shop.webhooks)} webhooks: {said} acknowledged, {len(stored)} stored")
    _say(f"their tries were answered: {_counted(checks.sender.tries)}")
    _say(f"they ended: {_counted(Counter(one.status for one in stored))}")
    _say(f"leases for each: {_counted(Counter(f'{one.attempts}' for one in stored))}")
    _say(f"at Polar: {len(storm.polar.events)} events; requests met: {_counted(Counter(storm.faults))}")
    _say(f"{len(storm.shop.disputes)} disputes lost")
    later = sum(":instalment:" in str(event["external_id"]) for event in storm.polar.events)
    _say(f"{len(storm.shop.plans)} plans were paid for a year, and got {later} later instalments")
    _say(f"500 to {len(storm.polar.stumbled)} grants, while others passed")
    planned = len(storm.process_faults)
    _say(f"harmed: {_counted(service.harmed)} (of {planned} faults); {service.restarts} restarts")
    _say("; ".join(f"{part} {seconds:.1f} s" for part, seconds in storm.took.items()))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def test_a_seed_brings_the_same_storm_again() -> None:
    began = datetime(2026, 11, 29, tzinfo=UTC)
    assert Shop(1, 50, 5, began).webhooks == Shop(1, 50, 5, began).webhooks
    assert Shop(1, 50, 5, began).webhooks != Shop(2, 50, 5, began).webhooks
    assert plan_polar_faults(1, 5) == plan_polar_faults(1, 5) != plan_polar_faults(2, 5)
    assert plan_process_faults(1, 5) == plan_process_faults(1, 5) != plan_process_faults(2, 5)


def test_the_short_storm_has_every_fault_and_every_harm() -> None:
    seconds = _SHORT_ORDERS / _ORDERS_PER_SECOND
    assert set(plan_polar_faults(_FIRST_SEED, seconds)) == {*FAULTS, *WORKER_KILLS}
    assert {process_fault.harm for process_fault in plan_process_faults(_FIRST_SEED, seconds)} == set(Harm)
