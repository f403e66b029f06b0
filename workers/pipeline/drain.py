"""Runs leases through the steps of the granter, several at a time."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from redis.exceptions import RedisError
from rq.timeouts import BaseTimeoutException

from config.log import get_log
from workers.core.delivery import Lease, Outcome
from workers.pipeline.leases import Accepted, ClaimedLease, IngestedLease, PlannedLease, TakenLease
from workers.timings import Timings

log = get_log(__name__)

T = TypeVar("T")

# Three leases are claimed, wait for Polar or are settled, while a fourth is planned and a fifth is taken. If
# Polar answers within two seconds, none of them waits so long that it has to be leased again.
_MAX_PENDING_LEASES = 3

# How Redis reports a fault in a script of ours, in newer versions and in older ones, and a damaged key.
_SCRIPT_FAULTS = ("user_script:", "Error running script", "WRONGTYPE")


class Steps(Protocol):
    """What is done with a lease, step by step."""

    def take(self) -> TakenLease: ...
    def plan(self, taken: TakenLease) -> PlannedLease: ...
    def claim(self, planned: PlannedLease, *, is_alone: bool = False) -> ClaimedLease: ...
    def ingest(self, claimed: ClaimedLease, accepted_before: dict[str, Accepted]) -> IngestedLease: ...
    def settle(self, ingested: IngestedLease) -> list[Outcome]: ...


class Drain:
    """Works on due deliveries until none is left, or until its time is over.

    Of a backlog, several leases are in progress at a time, each step in a thread of its own: in sequence,
    most of the time would be spent waiting. Only one request to Polar is under way at a time, so that a
    pause after one request holds back the next. A lease that is not full has all that is due, and needs no
    threads.
    """

    def __init__(self, steps: Steps, timings: Timings) -> None:
        self._steps = steps
        self._full = timings.deliveries_per_lease
        self._deadline = time.monotonic() + timings.drain_seconds
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._ahead: Future[TakenLease] | None = None
        self._pending: deque[Future[list[Outcome]]] = deque()
        self._accepted: dict[str, Accepted] = {}

    def run(self) -> None:
        """Drain. An error of a step ends it after the leases that are taken have gone through all steps."""
        try:
            self._run()
        except BaseTimeoutException:  # RQ's time limit: a thread hangs, and waiting for it would hang us too
            self._end_threads(wait=False)
            raise
        except Exception:
            self._end_threads(wait=True)
            if self._ahead and (taken := self._ahead.result()).lease.deliveries:
                self._work_on(taken)  # otherwise they wait until their lease expires
            raise
        self._end_threads(wait=True)

    def _run(self) -> None:
        while self._ahead or self._has_time():
            taken = self._ahead.result() if self._ahead else self._steps.take()
            self._ahead, due = None, len(taken.lease.deliveries)
            if due == self._full and self._has_time():
                self._ahead = self._submit("take", self._steps.take)
            if due and (due == self._full or self._pending):
                self._begin(taken)
                self._await_pending(_MAX_PENDING_LEASES)
            elif due:
                self._work_on(taken, is_alone=True)
            elif self._pending:
                self._await_pending(0)  # they may make others due
            else:
                return
        self._await_pending(0)

    def _has_time(self) -> bool:
        return time.monotonic() < self._deadline

    def _begin(self, taken: TakenLease) -> None:
        """Plan a lease here, and leave the other steps to the threads."""
        steps = self._steps
        planned = steps.plan(taken)
        claimed = self._submit("claim", lambda: steps.claim(planned))
        ingested = self._submit("ingest", lambda: steps.ingest(claimed.result(), self._accepted))
        self._pending.append(self._submit("settle", lambda: steps.settle(ingested.result())))

    def _work_on(self, taken: TakenLease, *, is_alone: bool = False) -> None:
        """Take a lease through all steps here; one that is not alone may have waited too long to be sent."""
        steps = self._steps
        try:
            claimed = steps.claim(steps.plan(taken), is_alone=is_alone)
            steps.settle(steps.ingest(claimed, self._accepted))
        except Exception as error:
            if _is_ours(error):
                _name_cause(taken.lease, error)
            raise

    def _await_pending(self, most: int) -> None:
        """Return when no more than ``most`` leases are in the hands of the threads."""
        while len(self._pending) > most:
            self._pending.popleft().result()

    def _end_threads(self, *, wait: bool) -> None:
        for thread in self._threads.values():
            thread.shutdown(wait=wait, cancel_futures=not wait)

    def _submit(self, step: str, run: Callable[[], T]) -> Future[T]:
        """Run a step in its own thread, after the steps of the same name that were submitted before."""
        if step not in self._threads:
            self._threads[step] = ThreadPoolExecutor(max_workers=1, thread_name_prefix=step)
        return self._threads[step].submit(run)


def _is_ours(error: Exception) -> bool:
    """Return whether an error is a fault of ours that a delivery can bring about, and no outage."""
    if isinstance(error, RedisError):
        return str(error).startswith(_SCRIPT_FAULTS)
    return not isinstance(error, BaseTimeoutException)


def _name_cause(lease: Lease, error: Exception) -> None:
    """Log which delivery an error is about, if it is alone."""
    if len(lease.deliveries) == 1:
        log.error("drain ended by one delivery", delivery=lease.deliveries[0].id, reason=repr(error))
