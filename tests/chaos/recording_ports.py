"""Polar and its throttle as a worker of the model sees them: they record what it does."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.polar import Mood
from tests.chaos.runs import Request, Run
from tests.chaos.service import Service
from tests.chaos.stops import Stop, StoppableWork
from tests.support.fake_polar import Event
from workers.core.pauses import PauseCause
from workers.errors import PolarError


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
