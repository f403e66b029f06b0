"""Checks after a storm: compares the webhooks that were sent, the stored deliveries, and Polar's events.

An acknowledged webhook must be stored. A stored one must be credited, acknowledged or not: once, and with
the right amount.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.demo.polar import Polar
from tests.chaos.storm.expected_credits import (
    Credit,
    balances,
    credit_in,
    due,
    is_credited_itself,
    to_take_back,
)
from tests.chaos.storm.instalment_checks import InstalmentChecks
from tests.chaos.storm.leftovers import find_careless_log_lines, find_leftover_keys
from tests.chaos.storm.shop import Shop
from tests.chaos.storm.webhook_sender import WebhookSender
from tests.chaos.world import SentWebhook
from tests.support.builders import METERS
from tests.support.fake_polar import Event
from workers.core.delivery import Delivery, Status
from workers.core.take_back_delivery import take_back_delivery
from workers.store.stores import Stores

_TAKEN_BACK = ("credits:refund:", "credits:dispute:")
_INSTALMENT = "credits:instalment:"
_LATER = (*_TAKEN_BACK, _INSTALMENT)


@dataclass(frozen=True, kw_only=True)
class FinalChecks:
    """The state when a storm is over and no process runs any more."""

    shop: Shop
    sender: WebhookSender
    polar: Polar
    held: Stores
    log: Path

    def find_errors(self) -> list[str]:
        """Return every error in words."""
        return [
            *self._acknowledged(),
            *self._ended(),
            *self._disputed(),
            *self._credited(),
            *self._taken_back(),
            *self.instalments.find_errors(),
            *self._balances(),
            *self._contradictions(),
            *self._ledger(),
            *find_leftover_keys(self.held.redis, self.stored.values()),
            *find_careless_log_lines(self.log),
        ]

    @cached_property
    def stored(self) -> dict[str, Delivery]:
        """Return every stored delivery by its id."""
        return {one.id: one for one in self.held.deliveries.newest()}

    @cached_property
    def _sent_webhooks(self) -> list[SentWebhook]:
        """Return the stored webhooks that can be credited, and the lost disputes."""
        come = [
            planned.sent
            for planned in self.shop.webhooks
            if planned.sent and planned.id in self.stored and Status.FAILED not in planned.ends
        ]
        return come + [dispute.sent for dispute in self.shop.disputes]

    @cached_property
    def instalments(self) -> InstalmentChecks:
        """Return the checks of plans, which are credited in instalments."""
        return InstalmentChecks(
            plans=self.shop.plans, sent=self._sent_webhooks, polar=self.polar, redis=self.held.redis
        )

    @cached_property
    def _sent_apart_from_plans(self) -> list[SentWebhook]:
        return [one for one in self._sent_webhooks if one.order_id not in self.shop.plans]

    @cached_property
    def _events(self) -> dict[str, Credit]:
        """Return Polar's credits by key."""
        return {str(event["external_id"]): credit_in(event) for event in self.polar.events}

    def _acknowledged(self) -> Iterator[str]:
        for planned in self.shop.webhooks:
            said, is_stored = self.sender.acknowledged.get(planned.id, ""), planned.id in self.stored
            if planned.ends and planned.tries is None and not said:
                yield f"{planned.id} was never acknowledged"
            if planned.ends and said and (said == "ignored" or not is_stored):
                yield f"{planned.id} was acknowledged ({said}) and is not stored"
            if not planned.ends and (
                is_stored or said not in {"", "ignored"} or (said and planned.is_forged)
            ):
                yield f"{planned.id} should be neither stored nor {said or 'known'}"
        ours = {take_back_delivery(one.order_id) for one in self._sent_webhooks}
        ours |= {dispute.delivery_id for dispute in self.shop.disputes}
        ours |= set(self.instalments.delivery_ids())
        for delivery_id in self.stored.keys() - self.sender.sent - ours:
            yield f"{delivery_id} is stored, and nobody sent it"
        if (listed := sum(self.held.deliveries.count_by_status().values())) != len(self.stored):
            yield f"{len(self.stored)} deliveries are listed {listed} times"

    def _ended(self) -> Iterator[str]:
        granted = {one.subject for one in self.stored.values() if one.status is Status.GRANTED}
        for planned in self.shop.webhooks:
            one = self.stored.get(planned.id)
            if one and one.status not in planned.ends:
                yield f"{planned.id} is {one.status} ({one.reason}), not {' or '.join(planned.ends)}"
        for sent in self._sent_webhooks:
            if is_credited_itself(sent) and sent.subject not in granted:
                yield f"of {sent.subject} no delivery ended granted"

    def _disputed(self) -> Iterator[str]:
        for dispute in self.shop.disputes:
            one = self.stored.get(dispute.delivery_id)
            if one is None or one.status not in {Status.GRANTED, Status.SKIPPED}:
                yield f"{dispute.delivery_id} is {one and one.status} ({one and one.reason})"

    def _credited(self) -> Iterator[str]:
        found = {key: one for key, one in self._events.items() if not key.startswith(_LATER)}
        yield from _differences("at Polar", found, due(self._sent_webhooks))
        if len(self._events) != len(self.polar.events):
            yield "Polar has events that share a key"

    def _taken_back(self) -> Iterator[str]:
        found: dict[str, Credit] = {}
        for event in self.polar.events:
            customer_id, meter, units = credit_in(event)
            order_id = event["metadata"].get("order_id")
            if event["external_id"].startswith(_TAKEN_BACK) and order_id not in self.shop.plans:
                place = f"{event['metadata']['order_id']}:{meter}"
                found[place] = (customer_id, meter, units + (found[place][2] if place in found else 0))
        yield from _differences("taken back", found, to_take_back(self._sent_apart_from_plans))
        yield from self._taken_too_early()

    def _taken_too_early(self) -> Iterator[str]:
        """A take-back that reaches Polar before its grant makes a debt."""
        seen = set[str]()
        for event in self.polar.events:
            key = str(event["external_id"])
            if key.startswith(_TAKEN_BACK):
                granted = f"credits:order:{event['metadata']['order_id']}:{event['name']}"
                if granted not in seen:
                    yield f"{key} came to Polar before its grant"
            seen.add(key)

    def _balances(self) -> Iterator[str]:
        expected = balances(self._sent_apart_from_plans)
        for customer_id, meter, units in self.instalments.nets():
            expected[customer_id, meter] += units
        for place in [(customer_id, meter) for customer_id in self.polar.customers for meter in METERS]:
            found = self.polar.balance(*place)
            if found != expected[place]:
                yield f"the balance of {place} is {found}, not {expected[place]}"

    def _contradictions(self) -> Iterator[str]:
        """Polar keeps the first event under a key, and ignores a different one silently."""
        first: dict[str, Event] = {}
        for event in (event for attempt in self.polar.received for event in attempt.events):
            if first.setdefault(event["external_id"], event) != event:
                yield f"Polar was told {event} after {first[event['external_id']]}"

    def _ledger(self) -> Iterator[str]:
        ledger = self.held.ledger
        subjects = {_subject_of(key) for key in self._events} | {sent.subject for sent in self._sent_webhooks}
        claims = [claim for subject in subjects if (claim := ledger.find(subject).own)]
        yield from (f"{grant.key} is not settled" for claim in claims for grant in claim.unsettled)
        settled = {
            grant.key: (grant.customer_id, grant.meter, grant.units)
            for claim in claims
            for grant in claim.grants
            if grant.meter in claim.settled
        }
        yield from _differences("in the ledger", settled, self._events)
        if ledger.count_grants() != len(self._events):
            yield f"in the audit trail are {ledger.count_grants()} grants, at Polar {len(self._events)}"


def _subject_of(key: str) -> str:
    """Return the subject of a grant; the key of an instalment is its subject as well."""
    return key if key.startswith(_INSTALMENT) else key.rpartition(":")[0]


def _differences(where: str, found: Mapping[str, Credit], expected: Mapping[str, Credit]) -> Iterator[str]:
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            yield f"{where} {key} is {found.get(key)}, not {expected.get(key)}"
