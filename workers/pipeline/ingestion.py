"""Many grants in few requests: sends, takes out what Polar refuses, and sends the rest again."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workers.core.grants import Grant
from workers.core.outcomes import IngestionResult
from workers.core.pauses import cause_of
from workers.core.usage_events import usage_event
from workers.errors import PolarBrokenError, PolarError
from workers.pipeline.retries import Circumstances, Halve, Later, Park, Pause, decide
from workers.timings import DEFAULT_TIMINGS, Timings

Send = Callable[[Sequence[Mapping[str, Any]]], None]

# When so many single events meet a 500 and nothing at all passes, the world is broken, not they.
_MOST_SUSPECTS = 3


class Ingestion:
    """One round: every answer but a pause shrinks what is left to send, so it ends."""

    def __init__(
        self,
        send: Send,
        *,
        may_ask: Callable[[], bool],
        strikes: Mapping[str, int],
        outages: int,
        jitter: Callable[[], float],
        timings: Timings = DEFAULT_TIMINGS,
    ) -> None:
        """Take how often each grant (by key) failed alone, and the pauses in a row before this."""
        self._send = send
        self._may_ask = may_ask
        self._strikes = strikes
        self._outages = outages
        self._jitter = jitter
        self._timings = timings
        self._has_asked = False
        self._done = IngestionResult()
        self._suspects: list[tuple[Grant, PolarError]] = []

    def run(self, grants: Sequence[Grant], *, begun: float) -> IngestionResult:
        """Send ``grants``, sorted by key so that workers cannot deadlock in Polar's database.

        ``begun`` is when their lease was taken, by the monotonic clock.
        """
        ordered = sorted(grants, key=lambda grant: grant.key)
        most = self._timings.events_per_request
        left = [ordered[i : i + most] for i in range(0, len(ordered), most)]
        give_up = begun + self._timings.round_seconds
        while left and not self._ends(give_up):
            # After a suspect the far end comes next: suspects may stand side by side.
            turn = -1 if len(self._suspects) % 2 else 0
            batch = left.pop(turn)
            rest = self._try(batch)
            left = left + rest if turn else rest + left
        if self._done.pause is None or self._done.accepted:
            for grant, error in self._suspects:
                self._meet(error, [grant])
        return self._done

    def _ends(self, give_up: float) -> bool:
        in_doubt = len(self._suspects) >= _MOST_SUSPECTS and not self._done.accepted
        # A worker that has lost its lease works for nothing. The first request is always made: where planning
        # alone takes too long, there would never be one.
        late = self._has_asked and time.monotonic() >= give_up
        return self._done.pause is not None or in_doubt or late or not self._may_ask()

    def _try(self, batch: list[Grant]) -> list[list[Grant]]:
        """Send ``batch``; return what of it is to be sent again."""
        self._has_asked = True
        try:
            self._send([usage_event(grant) for grant in batch])
        except PolarBrokenError as error:
            if len(batch) > 1:
                return self._meet(error, batch)
            # Whether it or the world is to blame is seen when the others have been tried.
            self._suspects.append((batch[0], error))
            return []
        except PolarError as error:
            return self._meet(error, batch)
        self._done.accepted.update(grant.key for grant in batch)
        return []

    def _meet(self, error: PolarError, batch: list[Grant]) -> list[list[Grant]]:
        done = self._done
        match decide(error, self._circumstances(batch), self._timings):
            case Park(reasons=reasons):
                done.refused |= {batch[i].key: words for i, words in reasons.items()}
                rest = [grant for i, grant in enumerate(batch) if i not in reasons]
                return [rest] if rest else []
            case Halve():
                middle = len(batch) // 2
                return [batch[:middle], batch[middle:]]
            case Later(seconds=seconds):
                done.later[batch[0].key] = (seconds, str(error))
            case Pause(seconds=seconds):
                done.pause = (seconds, str(error))
                done.cause = cause_of(error)
        return []

    def _circumstances(self, batch: list[Grant]) -> Circumstances:
        return Circumstances(
            events=len(batch),
            others_pass=bool(self._done.accepted),
            strikes=self._strikes.get(batch[0].key, 0),
            outages=self._outages,
            jitter=self._jitter(),
        )
