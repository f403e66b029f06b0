"""Workers with rules of their own, each of which can be stopped, wake up late or die."""

from collections.abc import Callable
from itertools import chain, repeat

from tests.chaos.cast import FILES
from tests.chaos.doors import Book, Gate, Run, Service, Sink
from tests.chaos.stops import Stop, Stopped
from workers.core.delivery import Lease
from workers.pipeline.granter import Granter


class Worker:
    """A worker: it sees a changed file at its own tick."""

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
            run = Run(file=self.file, lease=lease)  # one version of the rules for the whole lease
            self.holds = frozenset(delivery.id for delivery in lease.deliveries)
            self._stopped = Stopped(lambda stopped: self._work(run, stopped))

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

    def _work(self, run: Run, stopped: Stopped) -> None:
        # One version for the whole lease: who asks twice gets another.
        versions = chain([run.file.rules], repeat(FILES["other amounts"].rules))
        granter = Granter(
            deliveries=self._service.store,
            ledger=Book(self._service, stopped, run),
            throttle=Gate(self._service, run),
            polar=Sink(self._service, stopped, run),
            rules=lambda: next(versions),
            jitter=lambda: 0.0,
        )
        run.told = {outcome.delivery_id for outcome in granter.run(run.lease)}
        self._service.diary.over.append(run)
