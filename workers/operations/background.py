"""What runs beside the workers, on every host: each task looks for itself whether it is due."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workers.store.outage import RedisOutage
from workers.timings import DEFAULT_TIMINGS, Timings


@dataclass(frozen=True, kw_only=True)
class Background:
    """Runs ``tasks`` one after the other, again and again; ``reconnect`` is called when Redis went away."""

    tasks: Sequence[Callable[[], None]]
    reconnect: Callable[[], None]
    timings: Timings = DEFAULT_TIMINGS

    def run_forever(self) -> None:
        """Run until the process ends, even through outages of Redis."""
        outage = RedisOutage(self.timings)
        while True:
            seconds = outage.run(self._run_tasks, reconnect=self.reconnect)
            time.sleep(seconds or self.timings.background_check_seconds)

    def _run_tasks(self) -> None:
        for task in self.tasks:
            task()
