"""What runs beside the workers, on every host: each task looks for itself whether it is due."""

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from workers.store.outage import RedisOutage
from workers.timings import DEFAULT_TIMINGS, Timings


class Background(Struct, frozen=True, kw_only=True):
    """Runs ``tasks`` one after the other, again and again, and tells ``alert`` whether Redis is away."""

    tasks: Sequence[Callable[[], None]]
    reconnect: Callable[[], None]
    """Called when Redis went away: afterwards the host name may belong to another server."""
    alert: Callable[[str], object] = lambda _reason: None
    """Called after each round with why Redis is away, or with an empty text."""
    timings: Timings = DEFAULT_TIMINGS

    def run_forever(self) -> None:
        """Run until the process ends, even through outages of Redis."""
        outage = RedisOutage(self.timings)
        while True:
            seconds = outage.run(self._run_tasks, reconnect=self.reconnect)
            self.alert(outage.reason)
            time.sleep(seconds or self.timings.background_check_seconds)

    def _run_tasks(self) -> None:
        for task in self.tasks:
            task()
