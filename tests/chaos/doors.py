"""The doors through which a worker deals with the world: each can stop it, and writes down what it saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.gatekeeper import Gatekeeper
from tests.chaos.polar import Mood, MoodyPolar
from tests.chaos.stops import Stop, Stopped
from tests.chaos.world import File
from tests.support.fakes import Clock, Event, FakeStore
from workers.core.claims import Standing, TakeBack
from workers.core.delivery import Lease, Outcome, Status
from workers.core.grants import Grant
from workers.core.pauses import PauseCause
from workers.core.planning import Plan
from workers.errors import PolarError


@dataclass(kw_only=True)
class Request:
    """What was sent to Polar, by its keys, and what came of it."""

    keys: list[str]
    was_its_turn: bool
    error: PolarError | None = None


@dataclass(kw_only=True)
class Run:
    """One worker's work on one lease, as it was seen from outside."""

    file: File
    lease: Lease
    planned: set[str] = field(default_factory=set)
    """Deliveries that it planned while it had them."""
    open: dict[str, set[str]] = field(default_factory=dict)
    """By delivery: the keys that Polar had not confirmed when it last claimed."""
    makers: dict[str, str] = field(default_factory=dict)
    """Of the open keys: the first delivery of each."""
    makes: set[str] = field(default_factory=set)
    """Deliveries by which something of theirs had been claimed when it last did."""
    turns: int = 0
    was_put_off: bool = False
    """Our share of the rate limit was used up."""
    requests: list[Request] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    """At the gate."""
    throttle: list[float] = field(default_factory=list)
    lost: tuple[set[str], set[str]] | None = None
    """Deliveries that another had when it settled, and those that it was told of."""
    told: set[str] = field(default_factory=set)
    """Deliveries of which it told what had become of them."""

    @property
    def strikes(self) -> dict[str, int]:
        """Return by delivery how often it had failed alone before."""
        return {one.id: one.strikes for one in self.lease.deliveries}

    @property
    def accepted(self) -> set[str]:
        """Return the keys of what Polar confirmed."""
        return {key for one in self.requests if one.error is None for key in one.keys}


@dataclass
class Diary:
    """What the workers have done since it was last read."""

    planned: list[tuple[Run, str]] = field(default_factory=list)
    """Deliveries that were planned by who had the lease."""
    ended: list[tuple[Run, Outcome]] = field(default_factory=list)
    """Outcomes that counted."""
    over: list[Run] = field(default_factory=list)
    """Runs that came to their end."""
    frozen: dict[str, File] = field(default_factory=dict)
    """Every subject ever frozen, and by which rules; never forgotten."""

    def close(self) -> None:
        """Let what has been read be forgotten."""
        for page in (self.planned, self.ended, self.over):
            page.clear()


@dataclass
class Service:
    """What the workers share."""

    clock: Clock = field(default_factory=Clock)
    store: FakeStore = field(init=False)
    gatekeeper: Gatekeeper = field(init=False)
    polar: MoodyPolar = field(default_factory=MoodyPolar)
    diary: Diary = field(default_factory=Diary)
    _attempts: dict[str, int] = field(init=False, repr=False)
    _strikes: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin with an empty Redis."""
        self.store, self.gatekeeper = FakeStore(self.clock), Gatekeeper(self.clock)
        self._attempts, self._strikes = {}, {}

    def accept(self, delivery_id: str, body: bytes) -> None:
        """Store a delivery; what is known is left as it is."""
        known = self.store.deliveries.get(delivery_id)
        self.store.accept(delivery_id, body)
        assert known in (None, self.store.deliveries[delivery_id])
        if known is None:
            self._attempts[delivery_id] = self._strikes[delivery_id] = 0

    def lease(self, most: int) -> Lease:
        """Lease as a worker does; nobody gets what is not due, or while everybody waits."""
        due = {id_: one.due for id_, one in self.store.deliveries.items() if one.due}
        lease = self.store.lease(most)
        self.gatekeeper.check_lease(lease, due, most)
        self._check_numbers(lease)
        return lease

    def reopen(self, *ids: str) -> Lease:
        """Take deliveries as an operator does; nothing is held against them any more."""
        lease = self.store.reopen(*ids)
        self._strikes.update(dict.fromkeys(ids, 0))
        self._check_numbers(lease)
        return lease

    def _check_numbers(self, lease: Lease) -> None:
        for one in lease.deliveries:
            self._attempts[one.id] += 1
            assert (one.attempt, one.strikes) == (self._attempts[one.id], self._strikes[one.id])

    def count_strikes(self, outcomes: Sequence[Outcome]) -> None:
        """Note how often each delivery has failed alone."""
        for one in outcomes:
            self._strikes[one.delivery_id] += one.strike

    def holds(self, delivery_id: str, attempt: int) -> bool:
        """Say whether a delivery is still in the hands of who took it with this attempt."""
        kept = self.store.deliveries.get(delivery_id)
        return kept is not None and kept.status is Status.WAITING and kept.attempts == attempt


@dataclass(frozen=True)
class Sink:
    """The way to Polar."""

    service: Service
    stopped: Stopped
    run: Run

    def ingest(self, events: Sequence[Event]) -> None:
        """Send, and stop before and after."""
        request = Request(keys=[event["external_id"] for event in events], was_its_turn=self.run.turns > 0)
        self.run.turns -= 1
        self.run.requests.append(request)
        self.stopped.at(Stop.BEFORE_SENDING)
        try:
            self.service.polar.ingest(events)
        except PolarError as error:
            request.error = error
            raise
        finally:
            self.stopped.at(Stop.SENT)


@dataclass(frozen=True)
class Gate:
    """The pauses that all keep."""

    service: Service
    run: Run

    def take_request(self) -> bool:
        """Let a request be made unless everybody waits, or our share is used up."""
        may = self.service.gatekeeper.is_calm() and self.service.polar.mood is not Mood.SPENT
        self.run.turns += may
        self.run.was_put_off |= not may
        return may

    def pause(self, seconds: float, reason: str, cause: PauseCause) -> None:
        """Let everybody wait."""
        self.run.calls.append("pause")
        self.run.throttle.append(seconds)
        self.service.store.pause(seconds, reason, cause)
        self.service.gatekeeper.pause(seconds)

    def release_probe(self) -> None:
        """Let another be the first to ask."""
        self.run.calls.append("release probe")
        self.service.store.release_probe()
        self.service.gatekeeper.release_probe()

    def end_outage(self) -> None:
        """Let everybody go on."""
        self.run.calls.append("end outage")
        self.service.store.end_outage()
        self.service.gatekeeper.end_outage()


@dataclass(frozen=True)
class Book:
    """The store's book; it may be another by the time that a worker goes on: Redis can lose everything."""

    service: Service
    stopped: Stopped
    run: Run

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim, and note what stands."""
        self.stopped.at(Stop.BEFORE_CLAIM)
        had = {one.id for one in self.run.lease.deliveries if self.service.holds(one.id, one.attempt)}
        standings = self.service.store.claim(plans, attempts)
        self._note(dict(zip([id_ for id_, _ in plans], standings, strict=True)), had)
        self.stopped.at(Stop.CLAIMED)
        return standings

    def _note(self, standings: Mapping[str, Standing], had: set[str]) -> None:
        run, diary = self.run, self.service.diary
        run.planned |= standings.keys() & had
        diary.planned += [(run, id_) for id_ in standings.keys() & had]
        run.open = {
            id_: {grant.key for claim in standing.claims for grant in claim.unsettled}
            for id_, standing in standings.items()
        }
        run.makers = {key: id_ for id_, keys in reversed(run.open.items()) for key in keys}
        run.makes = {
            id_
            for id_, standing in standings.items()
            if any(claim.grants and claim.delivery_id == id_ for claim in standing.claims)
        }
        self._note_frozen()

    def _note_frozen(self) -> None:
        for subject in self.service.store.claims:
            self.service.diary.frozen.setdefault(subject, self.run.file)

    def take_back(self, claims: Sequence[TakeBack]) -> None:
        """Take back, and stop before and after."""
        self.stopped.at(Stop.BEFORE_TAKING_BACK)
        self.service.store.take_back(claims)
        self._note_frozen()
        self.stopped.at(Stop.TAKEN_BACK)

    def settle(self, accepted: Sequence[Grant], outcomes: Sequence[Outcome]) -> set[str]:
        """Settle, and note which outcomes counted."""
        self.stopped.at(Stop.BEFORE_SETTLING)
        counting = [one for one in outcomes if self.service.holds(one.delivery_id, one.attempt)]
        lost = self.service.store.settle(accepted, outcomes)
        self.service.count_strikes(counting)
        self.run.lost = ({one.delivery_id for one in outcomes if one not in counting}, lost)
        self.service.diary.ended += [(self.run, outcome) for outcome in counting]
        self.stopped.at(Stop.SETTLED)
        return lost
