"""Polar's subscriptions as a worker of the model sees them."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.chaos.polar import Mood
from tests.chaos.runs import Run
from tests.chaos.service import Service
from workers.pipeline.subscriptions import Look, Seen


@dataclass(frozen=True)
class RecordingSubscriptions:
    """Shows subscriptions as they are, unless Polar is in a bad mood."""

    service: Service
    run: Run

    def find(self, wanted: Mapping[str, str]) -> Look:
        """Return these subscriptions, and the time by Polar's clock; all of them or none."""
        if self.service.polar.mood is not Mood.FINE:
            self.run.was_blind = True
            return Look(why_not="its subscription cannot be looked up: Polar is in a bad mood")
        now, shown = self.service.clock.now, self.service.subscriptions
        self.run.looked = {one: (shown[one], now) for one in wanted}
        return Look(found={one: Seen(row=shown[one], at=now) for one in wanted})
