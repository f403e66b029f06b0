"""The stores and Polar as a worker of the model sees them: each can stop it, and records what it does."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from tests.chaos.expected_take_backs import INSTALMENT, TAKEN_BACK
from tests.chaos.expected_throttle import ExpectedThrottle
from tests.chaos.model_data import INSTALMENTS
from tests.chaos.paid_years import STATES, SUBSCRIPTIONS
from tests.chaos.polar import Mood, MoodyPolar
from tests.chaos.stops import Stop, StoppableWork
from tests.chaos.world import RulesFile
from tests.support.fake_clock import Clock
from tests.support.fake_polar import Event
from tests.support.fake_store.deliveries import TAKES_BACK
from tests.support.fake_store.facts import instalment_delivery
from tests.support.fake_store.reading_back import read_back
from tests.support.fake_store.store import FakeStore
from workers.core.claims import Claim, Claimed, Standing
from workers.core.delivery import Lease, Outcome, Status
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.pauses import PauseCause
from workers.core.plans import Plan
from workers.core.take_back_delivery import is_take_back_delivery
from workers.errors import PolarError

_KEYS_BY_DELIVERY = {instalment_delivery(key): key for key in INSTALMENTS}


@dataclass(kw_only=True)
class Request:
    """A request to Polar: the keys that were sent, and the error."""

    keys: list[str]
    was_its_turn: bool
    error: PolarError | None = None


@dataclass(kw_only=True)
class Run:
    """One worker's work on one lease, as seen from outside."""

    file: RulesFile
    lease: Lease
    planned: set[str] = field(default_factory=set)
    """Deliveries that it planned while it held their lease."""
    open: dict[str, set[str]] = field(default_factory=dict)
    """By delivery: the keys that Polar had not confirmed at the last claim."""
    makers: dict[str, str] = field(default_factory=dict)
    """The first delivery of each open key."""
    makes: set[str] = field(default_factory=set)
    """Deliveries that had claimed grants of their own at the last claim."""
    turns: int = 0
    was_put_off: bool = False
    """Our share of the rate limit was used up."""
    requests: list[Request] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    """The calls to the throttle that ended an outage or released a probe."""
    throttle: list[float] = field(default_factory=list)
    looked: dict[str, tuple[Mapping[str, Any] | None, datetime]] = field(default_factory=dict)
    """What Polar has shown of subscriptions, and when by its clock."""
    was_blind: bool = False
    """Polar has not shown them."""
    lost: tuple[set[str], set[str]] | None = None
    """Deliveries whose lease it had lost when it settled, and those that the ledger reported as lost."""
    reported: set[str] = field(default_factory=set)
    """Deliveries whose outcome it returned."""

    @property
    def strikes(self) -> dict[str, int]:
        """Return by delivery how often it had failed alone before."""
        return {one.id: one.strikes for one in self.lease.deliveries}

    @property
    def accepted(self) -> set[str]:
        """Return the keys of what Polar confirmed."""
        return {key for one in self.requests if one.error is None for key in one.keys}


@dataclass
class WorkLog:
    """The workers' actions since the log was last read."""

    planned: list[tuple[Run, str]] = field(default_factory=list)
    """Deliveries that were planned by the worker that held their lease."""
    ended: list[tuple[Run, Outcome]] = field(default_factory=list)
    """Outcomes that were stored."""
    over: list[Run] = field(default_factory=list)
    """Finished runs."""
    begun: list[tuple[Run, str]] = field(default_factory=list)
    """Later instalments that were claimed, by their subjects."""
    released: list[str] = field(default_factory=list)
    """Subjects of claims that were given up: others may be made instead."""
    frozen: dict[str, RulesFile] = field(default_factory=dict)
    """The rules by which each subject was claimed; never cleared."""

    def close(self) -> None:
        """Clear what has been read."""
        for entries in (self.planned, self.ended, self.over, self.begun, self.released):
            entries.clear()


@dataclass(frozen=True, kw_only=True)
class RedisState:
    """What is in Redis, and the numbers by which the model knows its deliveries."""

    store: FakeStore
    attempts: dict[str, int]
    strikes: dict[str, int]


@dataclass
class Service:
    """Everything that the workers share."""

    clock: Clock = field(default_factory=Clock)
    store: FakeStore = field(init=False)
    expected_throttle: ExpectedThrottle = field(init=False)
    polar: MoodyPolar = field(default_factory=MoodyPolar)
    work_log: WorkLog = field(default_factory=WorkLog)
    subscriptions: dict[str, Mapping[str, Any] | None] = field(
        default_factory=lambda: dict.fromkeys(SUBSCRIPTIONS.values(), STATES["active"])
    )
    arrived: dict[str, datetime] = field(default_factory=dict)
    """When Polar got each event, by its clock."""
    _attempts: dict[str, int] = field(init=False, repr=False)
    _strikes: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start with an empty Redis."""
        self.store, self.expected_throttle = FakeStore(self.clock), ExpectedThrottle(self.clock)
        self._attempts, self._strikes = {}, {}

    def redis_state(self) -> RedisState:
        """Return what is in Redis now."""
        # The clock goes on, whatever Redis loses.
        store = deepcopy(self.store, {id(self.clock): self.clock})
        return RedisState(store=store, attempts=dict(self._attempts), strikes=dict(self._strikes))

    def rewind(self, state: RedisState) -> None:
        """Go on with an earlier state of Redis, without its pauses: who meets an outage pauses again."""
        store = deepcopy(state.store, {id(self.clock): self.clock})
        store.forget_pauses()
        self.store, self.expected_throttle = store, ExpectedThrottle(self.clock)
        self._attempts, self._strikes = dict(state.attempts), dict(state.strikes)

    def accept(self, delivery_id: str, body: bytes) -> None:
        """Store a delivery; check that a known one does not change."""
        known = self.store.deliveries.get(delivery_id)
        self.store.accept(delivery_id, body)
        assert known in (None, self.store.deliveries[delivery_id])
        if known is None:
            self._attempts[delivery_id] = self._strikes[delivery_id] = 0

    def lease(self, most: int) -> Lease:
        """Lease as a worker does; check that only due deliveries are leased, and none during a pause."""
        due = {id_: one.due for id_, one in self.store.deliveries.items() if one.due}
        lease = self.store.lease(most)
        self.expected_throttle.check_lease(lease, due, most)
        self._check_numbers(lease)
        return lease

    def reopen(self, *ids: str, by_name: bool = False) -> Lease:
        """Lease deliveries for a replay; their strikes start again from 0."""
        lease = self.store.reopen(*ids, by_name=by_name)
        self._forget_released()
        self._strikes.update(dict.fromkeys(ids, 0))
        self._check_numbers(lease)
        return lease

    def _check_numbers(self, lease: Lease) -> None:
        for one in lease.deliveries:
            if is_own_delivery(one.id):  # made due again, it has lost its lease and its strikes
                self._attempts[one.id], self._strikes[one.id] = one.attempt - 1, one.strikes
            self._attempts[one.id] += 1
            assert (one.attempt, one.strikes) == (self._attempts[one.id], self._strikes[one.id])

    def read_back(self) -> None:
        """Confirm what Polar has as the ledger has it."""
        read_back(self.store, self.polar)

    def note_arrivals(self) -> None:
        """Note when Polar got its newest events."""
        for key in islice(self.polar.events, len(self.arrived), None):
            self.arrived[key] = self.clock.now

    def count_strikes(self, outcomes: Sequence[Outcome]) -> None:
        """Record how often each delivery has failed alone."""
        for one in outcomes:
            self._strikes[one.delivery_id] += one.strike

    def dismiss(self, delivery_id: str) -> None:
        """Dismiss a delivery; a bonus that is released may be claimed for another order, by other rules."""
        self.store.dismiss(delivery_id)
        self._forget_released()

    def _forget_released(self) -> None:
        """Forget what was claimed and sent of claims that were given up: others may be made instead."""
        for subject in self.work_log.frozen.keys() - self.store.claims.keys():
            del self.work_log.frozen[subject]
            self.work_log.released.append(subject)
        keys = {grant.key for claim in self.store.claims.values() for grant in claim.grants}
        for key in self.polar.first_told.keys() - keys:
            del self.polar.first_told[key]

    def attempts(self, delivery_id: str) -> int:
        """Return the number of a delivery's last attempt."""
        return self.store.deliveries[delivery_id].attempts

    def holds(self, delivery_id: str, attempt: int) -> bool:
        """Return whether the lease with this attempt is still the last one of a waiting delivery."""
        kept = self.store.deliveries.get(delivery_id)
        return kept is not None and kept.status is Status.WAITING and kept.attempts == attempt


@dataclass(frozen=True)
class RecordingPolar:
    """Polar, with stops before and after a request."""

    service: Service
    stoppable: StoppableWork
    run: Run

    def ingest(self, events: Sequence[Event]) -> int:
        """Send, and stop before and after."""
        request = Request(keys=[event["external_id"] for event in events], was_its_turn=self.run.turns > 0)
        self.run.turns -= 1
        self.run.requests.append(request)
        self.stoppable.at(Stop.BEFORE_SENDING)
        try:
            return self.service.polar.ingest(events)
        except PolarError as error:
            request.error = error
            raise
        finally:
            self.service.note_arrivals()
            self.stoppable.at(Stop.SENT)


@dataclass(frozen=True)
class RecordingThrottle:
    """The pauses that all keep."""

    service: Service
    run: Run

    def take_request(self) -> bool:
        """Let a request be made unless everybody waits, or our share is used up."""
        may = self.service.expected_throttle.is_calm() and self.service.polar.mood is not Mood.SPENT
        self.run.turns += may
        self.run.was_put_off |= not may
        return may

    def pause(self, seconds: float, reason: str, cause: PauseCause) -> None:
        """Let everybody wait."""
        self.run.calls.append("pause")
        self.run.throttle.append(seconds)
        self.service.store.pause(seconds, reason, cause)
        self.service.expected_throttle.pause(seconds)

    def release_probe(self) -> None:
        """Let another be the first to ask."""
        self.run.calls.append("release probe")
        self.service.store.release_probe()
        self.service.expected_throttle.release_probe()

    def end_outage(self) -> None:
        """Let everybody go on."""
        self.run.calls.append("end outage")
        self.service.store.end_outage()
        self.service.expected_throttle.end_outage()


@dataclass(frozen=True)
class RecordingLedger:
    """The store's book; it may be another by the time that a worker goes on: Redis can lose everything."""

    service: Service
    stoppable: StoppableWork
    run: Run

    def claim_and_ask(self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int]) -> Claimed:
        """Claim; the request is left to the throttle."""
        return Claimed(self.claim(plans, attempts), may_ask=None)

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim, and record the standings."""
        self.stoppable.at(Stop.BEFORE_CLAIM)
        had = {one.id for one in self.run.lease.deliveries if self.service.holds(one.id, one.attempt)}
        standings = self.service.store.claim(plans, attempts)
        failing = {id_ for id_, plan in plans if plan.dispute and plan.failure}
        self._note(dict(zip([id_ for id_, _ in plans], standings, strict=True)), had, failing)
        self.stoppable.at(Stop.CLAIMED)
        return standings

    def _note(self, standings: Mapping[str, Standing], had: set[str], failing: set[str]) -> None:
        """Note what each delivery may send; a dispute that needs review sends nothing."""
        run, work_log = self.run, self.service.work_log
        run.planned |= standings.keys() & had
        work_log.planned += [(run, id_) for id_ in standings.keys() & had]
        run.open = {
            id_: {grant.key for claim in self._sent_by(id_, standing) for grant in claim.unsettled}
            for id_, standing in standings.items()
            if id_ not in failing
        }
        run.makers = {key: id_ for id_, keys in reversed(run.open.items()) for key in keys}
        run.makes = {
            id_
            for id_, standing in standings.items()
            if id_ not in failing
            and any(
                claim.grants and claim.delivery_id == id_
                for claim in (*self._sent_by(id_, standing), *_taken_back(standing))
            )
        }
        self._note_frozen()

    def _sent_by(self, delivery_id: str, standing: Standing) -> Iterator[Claim]:
        """Yield the claims that a delivery may send.

        No take-back before its grant or while an amount is in doubt, no grant for a refund, and nothing that
        a person has dismissed.
        """
        if (own := key_of_instalment(delivery_id)) is not None:
            yield from (one for one in standing.claims if one.subject == own and not one.is_dismissed)
            return
        types = {one.id: one.type for one in self.run.lease.deliveries}
        given = [one for one in standing.claims if not one.subject.startswith((*TAKEN_BACK, INSTALMENT))]
        is_at_rest = standing.subject in self.service.store.dismissed and (
            standing.own is None or any(claim.unsettled for claim in given)
        )
        if types[delivery_id] not in TAKES_BACK and not is_at_rest:
            yield from given
        taken = [one for one in standing.claims if one.subject.startswith(TAKEN_BACK)]
        later = [one for one in standing.claims if one.subject.startswith(INSTALMENT)]
        in_doubt = any(one.unconfirmed for one in (standing.own, *taken, *later) if one is not None)
        is_under_way = any(one.unsettled and not one.is_dismissed for one in later)
        if standing.own is not None and not standing.own.unsettled and not in_doubt and not is_under_way:
            yield from (claim for claim in taken if not claim.is_dismissed)

    def _note_frozen(self) -> None:
        for subject in self.service.store.claims:
            self.service.work_log.frozen.setdefault(subject, self.run.file)

    def take_back(self, claims: Sequence[LaterClaim], attempts: Mapping[str, int] | None = None) -> None:
        """Claim take-backs, with stops before and after."""
        self.stoppable.at(Stop.BEFORE_TAKING_BACK)
        before = set(self.service.store.claims)
        self.service.store.take_back(claims, attempts)
        new = self.service.store.claims.keys() - before
        self.service.work_log.begun += [(self.run, one) for one in new if one.startswith(INSTALMENT)]
        self._note_frozen()
        self.stoppable.at(Stop.TAKEN_BACK)

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        """Settle, and record which outcomes were stored."""
        self.stoppable.at(Stop.BEFORE_SETTLING)
        counting = [one for one in outcomes if self.service.holds(one.delivery_id, one.attempt)]
        lost = self.service.store.settle(accepted, outcomes, unconfirmed, following)
        # A settled order takes the lease of its take-back; an instalment that is put back has no delivery.
        counting = [
            one for one in counting if one.put_back or self.service.attempts(one.delivery_id) == one.attempt
        ]
        self.service.count_strikes(counting)
        self.run.lost = ({one.delivery_id for one in outcomes if one not in counting}, lost)
        self.service.work_log.ended += [(self.run, outcome) for outcome in counting]
        self.stoppable.at(Stop.SETTLED)
        return lost


def key_of_instalment(delivery_id: str) -> str | None:
    """Return the key of the instalment that a delivery gives; None for another delivery."""
    return _KEYS_BY_DELIVERY.get(delivery_id)


def is_own_delivery(delivery_id: str) -> bool:
    """Return whether the ledger has made this delivery itself."""
    return is_take_back_delivery(delivery_id) or delivery_id.startswith("instalment-")


def _taken_back(standing: Standing) -> Iterator[Claim]:
    """Yield the take-backs that Polar has, dismissed or not: they stay those of their deliveries."""
    taken = (claim for claim in standing.claims if claim.subject.startswith(TAKEN_BACK))
    return (claim for claim in taken if not claim.unsettled)
