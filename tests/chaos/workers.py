"""Workers of the model: each has its own rules, and can be stopped, wake up late or die."""

from collections.abc import Callable
from itertools import chain, repeat

from tests.chaos.model_rules import FILES
from tests.chaos.recording_ledger import RecordingLedger
from tests.chaos.recording_ports import RecordingPolar, RecordingThrottle
from tests.chaos.runs import Run
from tests.chaos.service import Service
from tests.chaos.stops import Stop, StoppableWork
from tests.chaos.subscriptions import RecordingSubscriptions
from workers.core.delivery import Lease
from workers.pipeline.granter import Granter


class Worker:
    """A worker; each sees a changed rules file at its own tick."""

    def __init__(self, service: Service) -> None:
        self.file = FILES["usual"]
        self._service = service
        self._stopped: StoppableWork | None = None
        self.holds: frozenset[str] = frozenset()

    @property
    def is_busy(self) -> bool:
        """Return whether it holds a lease."""
        return bool(self.holds)

    def begin(self, lease: Lease) -> None:
        """Take ``lease``, and wait before the first step."""
        if lease.deliveries:
            run = Run(file=self.file, lease=lease)  # one version of the rules for the whole lease
            self.holds = frozenset(delivery.id for delivery in lease.deliveries)
            self._stopped = StoppableWork(lambda stoppable: self._work(run, stoppable))

    def go_on(self, to: Stop = Stop.END) -> None:
        """Continue with its lease, if it has one."""
        self._move(lambda stoppable: stoppable.go_on(to))

    def kill(self) -> None:
        """Die; a new worker takes the name."""
        self._move(StoppableWork.kill)

    def _move(self, move: Callable[[StoppableWork], None]) -> None:
        if self._stopped is None:
            return
        move(self._stopped)
        if self._stopped.is_over:
            self._stopped, self.holds = None, frozenset()

    def _work(self, run: Run, stoppable: StoppableWork) -> None:
        # One version for the whole lease: a second call would get another.
        versions = chain([run.file.rules], repeat(FILES["other amounts"].rules))
        granter = Granter(
            deliveries=self._service.store,
            ledger=RecordingLedger(self._service, stoppable, run),
            throttle=RecordingThrottle(self._service, run),
            polar=RecordingPolar(self._service, stoppable, run),
            rules=lambda: next(versions),
            subscriptions=RecordingSubscriptions(self._service, run),
            jitter=lambda: 0.0,
        )
        run.reported = {outcome.delivery_id for outcome in granter.run(run.lease)}
        self._service.work_log.over.append(run)
