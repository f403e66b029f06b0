"""A storm in which Redis loses its last second, again and again, and what people do then.

``CHAOS_SEEDS=5 CHAOS_ORDERS=500 pytest tests/chaos/test_lost_storm.py -s`` is a long one.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import cast

import pytest
from msgspec import structs

from app.demo.polar import create_app
from config.rules import Rules, load_rules
from tests.chaos.storm.expected_credits import due
from tests.chaos.storm.final_checks import FinalChecks
from tests.chaos.storm.leftovers import find_careless_log_lines
from tests.chaos.storm.running_service import LOG, RunningService, run_service
from tests.chaos.storm.shop import RULES_FILE, PlannedWebhook
from tests.chaos.storm.webhook_sender import WebhookSender
from tests.chaos.test_storm import _FIRST_SEED, _LIMIT_SECONDS, _ORDERS, _SEEDS, StormRun, _report, _say
from tests.support.builders import METERS
from tests.support.processes import Credits, credits_in, eventually
from tests.support.servers import running
from workers.core.claims import REBUILD
from workers.core.grants import order_subject
from workers.errors import PolarUnreachableError
from workers.operations.rebuild.run import Rebuilder
from workers.polar.client import Polar as Client
from workers.runtime.granting import granter_for
from workers.runtime.polar import polar_for
from workers.runtime.repairs import pacer_for, recoverer_for
from workers.store.connect import connect
from workers.store.queue import workers_alive
from workers.store.restorations import RestorationStore
from workers.store.stores import Stores, stores_in
from workers.timings import DEFAULT_TIMINGS

_SECONDS_BETWEEN_LOSSES = 2.0
_NO_LAG = structs.replace(DEFAULT_TIMINGS, events_lag_seconds=0.5)  # the list of this Polar has none


@dataclass(kw_only=True)
class LosingStorm(StormRun):
    """A storm in which Redis loses seconds, too."""

    aof: Path

    async def _run(self, service: RunningService, sender: WebhookSender) -> None:
        losing = asyncio.create_task(self._lose_seconds(service))
        try:
            await super()._run(service, sender)
        finally:
            losing.cancel()

    async def _lose_seconds(self, service: RunningService) -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_LOSSES)
            await asyncio.to_thread(service.lose_last_second, self.aof)


class LostChecks(FinalChecks):
    """What holds although Redis has lost entries."""

    def find_errors(self) -> list[str]:
        """Return every error in words."""
        return [
            *self._all_stored(),
            *self._credited(),
            *self._taken_too_early(),
            *self._taken_too_much(),
            *replace(self.instalments, has_lost=True, unsent=self._unsent).find_errors(),
            *self._granted_in_ledger(),
            *find_careless_log_lines(self.log),
        ]

    def _all_stored(self) -> Iterator[str]:
        for planned in self.shop.webhooks:
            one = self.stored.get(planned.id)
            if is_recorded(planned, self.sender) and one is None:
                yield f"{planned.id} was acknowledged, and is lost"
            if one and one.status not in planned.ends:
                yield f"{planned.id} is {one.status} ({one.reason}), not {' or '.join(planned.ends)}"

    def _taken_too_much(self) -> Iterator[str]:
        """Return orders of which more was taken back than was given."""
        given = {key: units for key, (_, _, units) in due(self._sent_webhooks).items()}
        taken: dict[str, Decimal] = {}
        for event in self.polar.events:
            is_of_plan = event["metadata"].get("order_id") in self.shop.plans
            if event["external_id"].startswith(("credits:refund:", "credits:dispute:")) and not is_of_plan:
                key = f"{order_subject(event['metadata']['order_id'])}:{event['name']}"
                taken[key] = taken.get(key, Decimal(0)) + Decimal(
                    str(event["metadata"][METERS[event["name"]]])
                )
        yield from (f"{units} was taken of {key}" for key, units in taken.items() if units > given[key])

    def _credited(self) -> Iterator[str]:
        """Leave out credits that were not sent before the loss: see docs/operations/lost-redis.md."""
        yield from (text for text in super()._credited() if not any(key in text for key in self._unsent))

    @cached_property
    def _unsent(self) -> set[str]:
        """Return the keys of orders of which Polar had only another part when the ledger was read back."""
        wanted = due(self._sent_webhooks).keys() - self._events.keys()
        own = {key: self.held.ledger.find(key.rpartition(":")[0]) for key in wanted}
        return {
            key
            for key, standing in own.items()
            if standing.own
            and standing.own.delivery_id == REBUILD
            and any(one.grants for one in standing.claims)
        }

    def _granted_in_ledger(self) -> Iterator[str]:
        """Return grants that Polar has, and that the ledger has not, or with another amount."""
        for key, (customer_id, meter, units) in due(self._sent_webhooks).items():
            if key in self._unsent:
                continue
            own = self.held.ledger.find(key.rpartition(":")[0]).own
            known = {one.meter: (one.customer_id, one.units) for one in own.grants} if own else {}
            if own is None or known.get(meter) != (customer_id, units) or meter not in own.settled:
                yield f"{key} is not in the ledger as at Polar: {own}"


def is_recorded(planned: PlannedWebhook, sender: WebhookSender) -> bool:
    """Return whether Polar has recorded that it delivered this webhook."""
    return planned.sent is not None and bool(planned.ends) and planned.id in sender.acknowledged


def repair(credits_: Credits, storm: StormRun, held: Stores, sender: WebhookSender) -> None:
    """Do what the log says: rebuild the ledger, then recover what Polar has delivered; no worker runs."""
    settings = credits_.read()
    rules = load_rules(settings.rules_path)
    recorded: Sequence[PlannedWebhook] = [one for one in storm.shop.webhooks if is_recorded(one, sender)]
    for planned in recorded:
        storm.polar.add_delivery(planned.id, planned.body, succeeded=True)
    granter = granter_for(settings, held, lambda: rules)
    with closing(polar_for(settings)) as polar, closing(cast(Client, granter.polar)):
        rebuild(polar, held, rules)
        recoverer = recoverer_for(settings, held, polar)
        now = datetime.now(UTC)
        while (found := recoverer.find_lost(since=now - timedelta(days=1), until=now, delivered=True)).lost:
            _say(f"{len(recorded)} webhooks were delivered, {len(found.lost)} of them were lost")
            # This Polar stumbles over some grants. Workers go on with those, and people with the rest.
            with suppress(PolarUnreachableError):
                list(recoverer.recover(found.oldest_first, granter))


def rebuild(polar: Client, held: Stores, rules: Rules) -> None:
    """Read the ledger back from Polar."""
    rebuilder = Rebuilder(
        store=RestorationStore(held.redis),
        ledger=held.ledger,
        polar=polar,
        pacer=pacer_for(held),
        timings=_NO_LAG,
    )
    found = rebuilder.compare(rules, now=datetime.now(UTC), on_progress=lambda _done, _whole: None)
    done = rebuilder.restore(found, on_progress=lambda _done, _whole: None)
    _say(f"a rebuild restored {done.grants} grants and corrected {done.corrected}")


@pytest.mark.timeout(_LIMIT_SECONDS + 120)
@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(_FIRST_SEED, _FIRST_SEED + _SEEDS))
def test_whatever_redis_loses_each_order_is_credited_once(seed: int, tmp_path: Path) -> None:
    _say(f"\nCHAOS_SEED={seed} CHAOS_ORDERS={_ORDERS} pytest tests/chaos/test_lost_storm.py -s")
    storm = LosingStorm(seed=seed, aof=tmp_path / "data" / "appendonlydir")
    with running(create_app(storm.polar)) as polar_url:
        credits_ = credits_in(
            tmp_path,
            polar_url,
            rules=RULES_FILE,
            CREDITS_POLAR_REQUESTS_PER_MINUTE="100000",
            CREDITS_RECONCILE_EVERY="2s",
        )
        with run_service(credits_) as service, connect(service.redis.url) as connection:
            eventually(lambda: workers_alive(connection) == len(service.workers))
            sender, held = WebhookSender(service.url), stores_in(connection, credits_.read())
            storm.run(service, sender, held)
            service.close()
            repair(credits_, storm, held, sender)
        with run_service(credits_) as again, connect(again.redis.url) as connection:
            held = stores_in(connection, credits_.read())
            storm.settle(held)
            again.close()
            checks = LostChecks(
                shop=storm.shop, sender=sender, polar=storm.polar, held=held, log=tmp_path / LOG
            )
            errors = checks.find_errors()
            _report(storm, service, checks)
    assert not errors, "\n".join(errors)
