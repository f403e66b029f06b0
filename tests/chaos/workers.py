"""Workers that can be stopped where a crash hurts, and then go on, sleep or die.

Each runs in a thread of its own, but only one of them or the test ever moves: a story can be played again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Semaphore, Thread

from tests.chaos.polar import Mood, MoodyPolar
from tests.chaos.world import FILES, File
from tests.fakes import Clock, Event, FakeStore, KilledError
from workers.granting import Granter
from workers.grants import Grant
from workers.planning import Plan
from workers.records import Lease, Outcome, Standing, Status, TakeBack


class Stop(StrEnum):
    """Where a worker can be stopped."""

    BEFORE_CLAIM = "before it claims"
    CLAIMED = "when it has claimed"
    BEFORE_TAKING_BACK = "before it takes back"
    TAKEN_BACK = "when it has taken back"
    BEFORE_SENDING = "before it sends"
    SENT = "when Polar has taken it all, before the answer"
    BEFORE_SETTLING = "before it settles"
    SETTLED = "when it has settled"
    END = "at its end"


class Stopped:
    """Some work that stands still until it is told to go on, and up to where."""

    def __init__(self, work: Callable[["Stopped"], object]) -> None:
        self._work = work
        self._to = Stop.END
        self._killed = False
        self._error: BaseException | None = None
        self._go, self._back = Semaphore(0), Semaphore(0)
        self.is_over = False
        Thread(target=self._run, daemon=True).start()

    def go_on(self, to: Stop = Stop.END) -> None:
        """Go on until ``to`` is reached, or the end."""
        if self.is_over:  # an error may have ended it: nobody would answer
            return
        self._to = to
        self._go.release()
        self._back.acquire()
        if self._error:
            raise self._error

    def kill(self) -> None:
        """End here and now."""
        self._killed = True
        self.go_on()

    def at(self, stop: Stop) -> None:
        """Stop here if this is as far as it goes."""
        if stop is self._to:
            self._back.release()
            self._wait()

    def _wait(self) -> None:
        self._go.acquire()
        if self._killed:
            raise KilledError

    def _run(self) -> None:
        try:
            self._wait()
            self._work(self)
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shall see it
            self._error = error
        self.is_over = True
        self._back.release()


@dataclass
class Diary:
    """What the workers have done since it was last read, and by which rules."""

    planned: list[tuple[File, str]] = field(default_factory=list)
    """Deliveries that were planned by who had the lease."""
    ended: list[tuple[File, Outcome]] = field(default_factory=list)
    """Outcomes that counted."""
    frozen: dict[str, File] = field(default_factory=dict)
    """Every subject ever frozen; never forgotten."""


@dataclass
class Service:
    """What the workers share."""

    clock: Clock = field(default_factory=Clock)
    store: FakeStore = field(init=False)
    polar: MoodyPolar = field(default_factory=MoodyPolar)
    diary: Diary = field(default_factory=Diary)

    def __post_init__(self) -> None:
        self.store = FakeStore(self.clock)


class Worker:
    """A worker with rules of its own: each sees a changed file at its own tick."""

    def __init__(self, service: Service) -> None:
        self.file = FILES["usual"]
        self._service = service
        self._stopped: Stopped | None = None
        self.holds: frozenset[str] = frozenset()

    @property
    def is_busy(self) -> bool:
        """Say whether it stands in the midst of something."""
        return bool(self.holds)

    def begin(self, lease: Lease) -> None:
        """Take up ``lease``, and stand before its first step."""
        if lease.deliveries:
            self.holds = frozenset(delivery.id for delivery in lease.deliveries)
            self._stopped = Stopped(lambda stopped: self._granter(stopped).run(lease))

    def go_on(self, to: Stop = Stop.END) -> None:
        """Go on with what it has in its hands, if anything."""
        self._move(lambda stopped: stopped.go_on(to))

    def kill(self) -> None:
        """Die; another of the same name takes its place."""
        self._move(Stopped.kill)

    def _move(self, move: Callable[[Stopped], None]) -> None:
        if self._stopped is None:
            return
        move(self._stopped)
        if self._stopped.is_over:
            self._stopped, self.holds = None, frozenset()

    def _granter(self, stopped: Stopped) -> Granter:
        service = self._service
        file = self.file  # one version for the whole lease
        return Granter(
            inbox=service.store,
            book=_Book(service, file, stopped),
            gate=_Gate(service),
            polar=_Sink(service.polar, stopped),
            rules=lambda: file.rules,
            jitter=lambda: 0.0,
        )


@dataclass(frozen=True)
class _Sink:
    _polar: MoodyPolar
    _stopped: Stopped

    def ingest(self, events: Sequence[Event]) -> None:
        self._stopped.at(Stop.BEFORE_SENDING)
        self._polar.ingest(events)
        self._stopped.at(Stop.SENT)


@dataclass(frozen=True)
class _Gate:
    _service: Service

    def take(self) -> bool:
        return self._service.polar.mood is not Mood.SPENT

    def begin(self, seconds: float, reason: str) -> None:
        self._service.store.begin(seconds, reason)

    def give_back(self) -> None:
        self._service.store.give_back()

    def over(self) -> None:
        self._service.store.over()


@dataclass(frozen=True)
class _Book:
    """The store's book; it may be another by the time that a worker goes on: Redis can lose everything."""

    _service: Service
    _file: File
    _stopped: Stopped

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        self._stopped.at(Stop.BEFORE_CLAIM)
        held = [id_ for id_, attempt in (attempts or {}).items() if self._has(id_, attempt)]
        standings = self._service.store.claim(plans, attempts)
        self._service.diary.planned += [(self._file, id_) for id_ in held]
        self._note_frozen()
        self._stopped.at(Stop.CLAIMED)
        return standings

    def take_back(self, claims: Sequence[TakeBack]) -> None:
        self._stopped.at(Stop.BEFORE_TAKING_BACK)
        self._service.store.take_back(claims)
        self._note_frozen()
        self._stopped.at(Stop.TAKEN_BACK)

    def settle(self, accepted: Sequence[Grant], outcomes: Sequence[Outcome]) -> None:
        self._stopped.at(Stop.BEFORE_SETTLING)
        counting = [one for one in outcomes if self._has(one.delivery_id, one.attempt)]
        self._service.store.settle(accepted, outcomes)
        self._service.diary.ended += [(self._file, outcome) for outcome in counting]
        self._stopped.at(Stop.SETTLED)

    def _has(self, delivery_id: str, attempt: int) -> bool:
        kept = self._service.store.deliveries.get(delivery_id)
        return kept is not None and kept.status is Status.WAITING and kept.attempts == attempt

    def _note_frozen(self) -> None:
        for subject in self._service.store.claims:
            self._service.diary.frozen.setdefault(subject, self._file)
