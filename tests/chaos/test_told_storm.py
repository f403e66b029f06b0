"""A storm in which the storefront fails three times in ten, and its senders are killed, too: all is told.

``CHAOS_SEEDS=5 CHAOS_ORDERS=500 pytest tests/chaos/test_told_storm.py -s`` is a long one.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from app.demo.polar import create_app
from tests.chaos.storm.expected_credits import credit_in
from tests.chaos.storm.final_checks import FinalChecks
from tests.chaos.storm.running_service import LOG, RunningService, run_service
from tests.chaos.storm.seed import random_for
from tests.chaos.storm.shop import RULES_FILE
from tests.chaos.storm.stumbling_storefront import StumblingStorefront
from tests.chaos.storm.webhook_sender import WebhookSender
from tests.chaos.test_storm import (
    _FIRST_SEED,
    _LIMIT_SECONDS,
    _ORDERS,
    _POLL_SECONDS,
    _PROMISE_SECONDS,
    _REQUESTS_PER_MINUTE,
    _SEEDS,
    StormRun,
    _counted,
    _report,
    _say,
)
from tests.support.event_receivers import EVENTS_SECRET
from tests.support.processes import credits_in, eventually
from tests.support.servers import running
from workers.core.delivery import Status
from workers.store import keys
from workers.store.connect import connect
from workers.store.queue import workers_alive
from workers.store.stores import Stores, stores_in

_SECONDS_BETWEEN_KILLS = 0.6


@dataclass(kw_only=True)
class ToldStorm(StormRun):
    """A storm in which senders of credit events are killed, too."""

    async def _run(self, service: RunningService, sender: WebhookSender) -> None:
        killing = asyncio.create_task(self._kill_senders(service))
        try:
            await super()._run(service, sender)
        finally:
            killing.cancel()

    async def _kill_senders(self, service: RunningService) -> None:
        rng = random_for(self.seed, "senders")
        while True:
            await asyncio.sleep(rng.uniform(0, 2 * _SECONDS_BETWEEN_KILLS))
            service.kill_sender(rng.randrange(100))

    def tell(self, held: Stores) -> None:
        """Return when the storefront has been told of everything, or after the promised time."""
        began = time.monotonic()
        while held.redis.exists(keys.OUTBOX) and time.monotonic() < began + _PROMISE_SECONDS:
            time.sleep(_POLL_SECONDS)
        self.took["telling"] = time.monotonic() - began


@dataclass(frozen=True, kw_only=True)
class ToldChecks(FinalChecks):
    """The usual checks, and what the storefront was told."""

    storefront: StumblingStorefront

    def find_errors(self) -> list[str]:
        """Return every error in words."""
        return [*super().find_errors(), *self.storefront.errors, *self._told(), *self._left()]

    def _told(self) -> Iterator[str]:
        found = {
            id_: (
                event["type"],
                event["data"]["customer_id"],
                event["data"]["meter"],
                event["data"]["credits"],
            )
            for id_, event in self.storefront.events()
            if event["type"] != "credit.failed"
        }
        settled = {
            str(event["external_id"]): (
                "credit.granted" if units > 0 else "credit.taken_back",
                customer_id,
                meter,
                abs(units),
            )
            for event in self.polar.events
            for customer_id, meter, units in [credit_in(event)]
        }
        for key in sorted(found.keys() | settled.keys()):
            told, wanted = found.get(key), settled.get(key)
            if told is None or wanted is None or (*told[:3], Decimal(str(told[3]))) != wanted:
                yield f"the storefront was told {told} of {key}, not {wanted}"
        yield from self._told_of_failures()

    def _told_of_failures(self) -> Iterator[str]:
        found = {id_ for id_, event in self.storefront.events() if event["type"] == "credit.failed"}
        failed = {f"{one.id}:{one.attempts}" for one in self.stored.values() if one.status is Status.FAILED}
        yield from (f"the storefront was not told that {id_} failed" for id_ in sorted(failed - found))
        yield from (f"the storefront was told that {id_} failed" for id_ in sorted(found - failed))

    def _left(self) -> Iterator[str]:
        for key in (keys.OUTBOX, keys.OUTBOX_REFUSED, keys.OUTBOX_ATTEMPTS, keys.OUTBOX_GIVEN_UP):
            if self.held.redis.exists(key):
                yield f"{key} is still there"
        if EVENTS_SECRET in self.log.read_text():
            yield "the secret of credit events was logged"


@pytest.mark.timeout(_LIMIT_SECONDS + _PROMISE_SECONDS)
@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(_FIRST_SEED, _FIRST_SEED + _SEEDS))
def test_whatever_the_storefront_answers_it_is_told_of_each_settlement(seed: int, tmp_path: Path) -> None:
    _say(f"\nCHAOS_SEED={seed} CHAOS_ORDERS={_ORDERS} pytest tests/chaos/test_told_storm.py -s")
    storm, storefront = ToldStorm(seed=seed), StumblingStorefront(seed=seed)
    with running(create_app(storm.polar)) as polar_url, running(storefront.app()) as base:
        credits_ = credits_in(
            tmp_path,
            polar_url,
            rules=RULES_FILE,
            CREDITS_POLAR_REQUESTS_PER_MINUTE=str(_REQUESTS_PER_MINUTE),
            CREDITS_RECONCILE_EVERY="2s",
            CREDITS_EVENTS_URL=storefront.url(base),
            CREDITS_EVENTS_SECRET=EVENTS_SECRET,
        )
        with run_service(credits_) as service, connect(service.redis.url) as connection:
            eventually(lambda: workers_alive(connection) == len(service.workers))
            sender, held = WebhookSender(service.url), stores_in(connection, credits_.read())
            storm.run(service, sender, held)
            storm.settle(held)
            storm.tell(held)
            service.close()
            checks = ToldChecks(
                shop=storm.shop,
                sender=sender,
                polar=storm.polar,
                held=held,
                log=tmp_path / LOG,
                storefront=storefront,
            )
            errors = checks.find_errors()
            _report(storm, service, checks)
            _say(f"the storefront answered: {_counted(storefront.answers)}")
    assert not errors, "\n".join(errors)
