"""The reckoning after a storm: what must hold between what was sent, what is stored and what Polar has.

What was acknowledged must be stored. What is stored must be credited, acknowledged or not: once, and as much
as it is worth. So nobody needs to guess what became of a webhook that Polar gave up.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.demo.polar import Polar
from tests.chaos.storm.post import Post
from tests.chaos.storm.shop import Shop
from tests.chaos.storm.traces import careless_words, leftovers
from tests.chaos.storm.worth import Credit, balances, credit_in, due, is_credited_itself, to_take_back
from tests.chaos.world import Told
from tests.support.builders import METERS
from tests.support.fakes import Event
from workers.core.delivery import Delivery, Status
from workers.store.stores import Stores

_REFUND = "credits:refund:"


@dataclass(frozen=True, kw_only=True)
class Reckoning:
    """All that is left when a storm is over and nobody works any more."""

    shop: Shop
    post: Post
    polar: Polar
    held: Stores
    log: Path

    def wrongs(self) -> list[str]:
        """Return in words whatever should be otherwise."""
        return [
            *self._acknowledged(),
            *self._ended(),
            *self._credited(),
            *self._taken_back(),
            *self._balances(),
            *self._contradictions(),
            *self._ledger(),
            *leftovers(self.held.redis, self.stored.values()),
            *careless_words(self.log),
        ]

    @cached_property
    def stored(self) -> dict[str, Delivery]:
        """Return every delivery that Redis has, by its id."""
        return {one.id: one for one in self.held.deliveries.newest()}

    @cached_property
    def _told(self) -> list[Told]:
        """Return what the stored deliveries tell, but for those that cannot be credited."""
        return [
            letter.told
            for letter in self.shop.letters
            if letter.told and letter.id in self.stored and Status.FAILED not in letter.ends
        ]

    @cached_property
    def _events(self) -> dict[str, Credit]:
        """Return what Polar has, by its key."""
        return {str(event["external_id"]): credit_in(event) for event in self.polar.events}

    def _acknowledged(self) -> Iterator[str]:
        for letter in self.shop.letters:
            said, is_stored = self.post.acknowledged.get(letter.id, ""), letter.id in self.stored
            if letter.ends and letter.tries is None and not said:
                yield f"{letter.id} was never acknowledged"
            if letter.ends and said and (said == "ignored" or not is_stored):
                yield f"{letter.id} was acknowledged ({said}) and is not stored"
            if not letter.ends and (is_stored or said not in {"", "ignored"} or (said and letter.is_forged)):
                yield f"{letter.id} should be neither stored nor {said or 'known'}"
        for delivery_id in self.stored.keys() - self.post.sent:
            yield f"{delivery_id} is stored, and nobody sent it"
        if (listed := sum(self.held.deliveries.count_by_status().values())) != len(self.stored):
            yield f"{len(self.stored)} deliveries are listed {listed} times"

    def _ended(self) -> Iterator[str]:
        granted = {one.subject for one in self.stored.values() if one.status is Status.GRANTED}
        for letter in self.shop.letters:
            one = self.stored.get(letter.id)
            if one and one.status not in letter.ends:
                yield f"{letter.id} is {one.status} ({one.reason}), not {' or '.join(letter.ends)}"
        for told in self._told:
            if is_credited_itself(told) and told.subject not in granted:
                yield f"of {told.subject} no delivery ended granted"

    def _credited(self) -> Iterator[str]:
        found = {key: one for key, one in self._events.items() if not key.startswith(_REFUND)}
        yield from _differences("at Polar", found, due(self._told))
        if len(self._events) != len(self.polar.events):
            yield "Polar has events that share a key"

    def _taken_back(self) -> Iterator[str]:
        found: dict[str, Credit] = {}
        for key, (customer_id, meter, units) in self._events.items():
            if key.startswith(_REFUND):
                place = f"{key.removeprefix(_REFUND).partition(':')[0]}:{meter}"
                found[place] = (customer_id, meter, units + (found[place][2] if place in found else 0))
        yield from _differences("taken back", found, to_take_back(self._told))

    def _balances(self) -> Iterator[str]:
        wanted = balances(self._told)
        for place in [(customer_id, meter) for customer_id in self.polar.customers for meter in METERS]:
            found = self.polar.balance(*place)
            if found != wanted[place]:
                yield f"the balance of {place} is {found}, not {wanted[place]}"

    def _contradictions(self) -> Iterator[str]:
        """Polar keeps the first that it is told under a key, and is silent about another."""
        first: dict[str, Event] = {}
        for event in (event for attempt in self.polar.received for event in attempt.events):
            if first.setdefault(event["external_id"], event) != event:
                yield f"Polar was told {event} after {first[event['external_id']]}"

    def _ledger(self) -> Iterator[str]:
        ledger = self.held.ledger
        subjects = {key.rpartition(":")[0] for key in self._events} | {told.subject for told in self._told}
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


def _differences(where: str, found: Mapping[str, Credit], wanted: Mapping[str, Credit]) -> Iterator[str]:
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            yield f"{where} {key} is {found.get(key)}, not {wanted.get(key)}"
