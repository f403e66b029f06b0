"""Sends many grants in few requests: removes the events that Polar refuses, and sends the rest again."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workers.core.grants import Grant
from workers.core.outcomes import IngestionResult
from workers.core.pauses import cause_of
from workers.core.usage_events import usage_event
from workers.errors import PolarBrokenError, PolarError
from workers.pipeline.retries import Circumstances, DeadLetter, Halve, PauseAll, RetryLater, decide
from workers.timings import DEFAULT_TIMINGS, Timings

Send = Callable[[Sequence[Mapping[str, Any]]], int]

# When this many single events got a 500 and Polar accepted no event at all, the fault is Polar's.
_MAX_SUSPECTS = 3


class Ingestion:
    """Sends the grants of one lease. It always ends: every answer but a pause leaves less to send."""

    def __init__(
        self,
        send: Send,
        *,
        may_send: Callable[[], bool],
        strikes: Mapping[str, int],
        outages: int,
        jitter: Callable[[], float],
        timings: Timings = DEFAULT_TIMINGS,
    ) -> None:
        """Create an ingestion.

        ``strikes`` counts by key how often each grant has failed alone; ``outages`` counts the pauses in a
        row before this lease.
        """
        self._send = send
        self._may_send = may_send
        self._strikes = strikes
        self._outages = outages
        self._jitter = jitter
        self._timings = timings
        self._has_sent = False
        self._result = IngestionResult()
        # Single events that got a 500. Whether they or Polar are to blame shows only when others were sent.
        self._suspects: list[tuple[Grant, PolarError]] = []

    def run(self, grants: Sequence[Grant], *, leased_at: float) -> IngestionResult:
        """Send ``grants`` and return Polar's answers; ``leased_at`` is read from the monotonic clock.

        The grants are sorted by key so that workers cannot deadlock in Polar's database.
        """
        ordered = sorted(grants, key=lambda grant: grant.key)
        size = self._timings.events_per_request
        batches = [ordered[i : i + size] for i in range(0, len(ordered), size)]
        deadline = leased_at + self._timings.round_seconds
        while batches and not self._must_stop(deadline):
            # After a suspect, continue at the other end: suspects often sort next to each other.
            end = -1 if len(self._suspects) % 2 else 0
            rest = self._send_batch(batches.pop(end))
            batches = batches + rest if end else rest + batches
        if self._result.pause is None or self._result.accepted:
            for grant, error in self._suspects:
                self._handle_error(error, [grant])
        return self._result

    def _must_stop(self, deadline: float) -> bool:
        is_polar_at_fault = len(self._suspects) >= _MAX_SUSPECTS and not self._result.accepted
        # A late request could outlast the lease, and its work would be lost. The first is always sent, or a
        # lease that takes long to plan would never get a request.
        is_late = self._has_sent and time.monotonic() >= deadline
        return self._result.pause is not None or is_polar_at_fault or is_late or not self._may_send()

    def _send_batch(self, batch: list[Grant]) -> list[list[Grant]]:
        """Send ``batch``; return the batches that must be sent again."""
        self._has_sent = True
        try:
            duplicates = self._send([usage_event(grant) for grant in batch])
        except PolarBrokenError as error:
            if len(batch) > 1:
                return self._handle_error(error, batch)
            self._suspects.append((batch[0], error))
            return []
        except PolarError as error:
            return self._handle_error(error, batch)
        keys = {grant.key for grant in batch}
        self._result.accepted |= keys
        if duplicates:  # Polar does not say which ones it had before
            self._result.unconfirmed |= keys
        return []

    def _handle_error(self, error: PolarError, batch: list[Grant]) -> list[list[Grant]]:
        """Record what ``error`` leads to; return the batches that must be sent again."""
        result = self._result
        match decide(error, self._circumstances(batch), self._timings):
            case DeadLetter(reasons=reasons):
                result.refused |= {batch[i].key: reason for i, reason in reasons.items()}
                rest = [grant for i, grant in enumerate(batch) if i not in reasons]
                return [rest] if rest else []
            case Halve():
                middle = len(batch) // 2
                return [batch[:middle], batch[middle:]]
            case RetryLater(seconds=seconds):
                result.later[batch[0].key] = (seconds, str(error))
            case PauseAll(seconds=seconds):
                result.pause = (seconds, str(error))
                result.cause = cause_of(error)
        return []

    def _circumstances(self, batch: list[Grant]) -> Circumstances:
        return Circumstances(
            events=len(batch),
            others_pass=bool(self._result.accepted),
            strikes=self._strikes.get(batch[0].key, 0),
            outages=self._outages,
            jitter=self._jitter(),
        )
