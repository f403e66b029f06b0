"""How many leases a drain has in progress, and in which threads."""

import threading
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from tests.support.builders import rules_of
from workers.core.delivery import Lease, Leased, Outcome
from workers.core.outcomes import IngestionResult
from workers.pipeline.drain import Drain
from workers.pipeline.leases import Accepted, ClaimedLease, IngestedLease, PlannedLease, TakenLease
from workers.timings import DEFAULT_TIMINGS

_FULL = 2
_TIMINGS = replace(DEFAULT_TIMINGS, deliveries_per_lease=_FULL)
_MOST_IN_PROGRESS = 5


@dataclass
class _Steps:
    """Steps that do nothing but count the leases that were taken and not settled yet."""

    due: int
    in_progress: int = 0
    most_in_progress: int = 0
    settled: int = 0
    threads: set[str] = field(default_factory=set)
    may_settle: threading.Event = field(default_factory=threading.Event)
    five_are_taken: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> TakenLease:
        with self.lock:
            size = min(_FULL, self.due)
            self.due -= size
            self.in_progress += bool(size)
            self.most_in_progress = max(self.most_in_progress, self.in_progress)
            if self.in_progress == _MOST_IN_PROGRESS:
                self.five_are_taken.set()
        one = Leased(id="msg", type="order.paid", body=b"", strikes=0, attempt=1)
        return TakenLease(lease=Lease(deliveries=(one,) * size), taken_at=0.0)

    def plan(self, taken: TakenLease) -> PlannedLease:
        return PlannedLease(taken=taken, rules=rules_of(), planned=())

    def claim(self, planned: PlannedLease, *, is_alone: bool = False) -> ClaimedLease:
        return ClaimedLease(lease=planned.taken.lease, planned=(), standings={}, leased_at=0.0)

    def ingest(self, claimed: ClaimedLease, accepted_before: dict[str, Accepted]) -> IngestedLease:
        return IngestedLease(claimed=claimed, grants={}, earlier=[], makers={}, result=IngestionResult())

    def settle(self, ingested: IngestedLease) -> list[Outcome]:
        assert self.may_settle.wait(10)
        with self.lock:
            self.threads.add(threading.current_thread().name)
            self.settled += len(ingested.claimed.lease.deliveries)
            self.in_progress -= 1
        return []


@pytest.fixture
def backlog() -> _Steps:
    return _Steps(due=20 * _FULL + 1)


def test_at_most_five_leases_are_in_progress_at_a_time(backlog: _Steps) -> None:
    thread = threading.Thread(target=Drain(backlog, _TIMINGS).run)
    thread.start()
    assert backlog.five_are_taken.wait(10)
    backlog.may_settle.set()
    thread.join(10)
    assert backlog.most_in_progress == _MOST_IN_PROGRESS
    assert backlog.settled == 20 * _FULL + 1


def test_a_lease_that_is_not_full_is_worked_on_without_threads() -> None:
    steps = _Steps(due=_FULL - 1)
    steps.may_settle.set()
    Drain(steps, _TIMINGS).run()
    assert steps.threads == {threading.current_thread().name}


def test_a_drain_whose_time_is_over_takes_no_more_and_leaves_nothing_undone(backlog: _Steps) -> None:
    def settle(ingested: IngestedLease) -> list[Outcome]:
        drain._deadline = 0.0
        return settle_now(ingested)

    settle_now, backlog.settle = backlog.settle, settle  # type: ignore[method-assign] # ends the drain's time
    backlog.may_settle.set()
    drain = Drain(backlog, _TIMINGS)
    drain.run()
    assert backlog.in_progress == 0
    assert 0 < backlog.due < 20 * _FULL
