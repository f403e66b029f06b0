"""The pauses in memory, which all workers keep."""

from datetime import timedelta

from tests.support.fake_clock import Clock
from workers.core.pauses import PauseCause


class FakeThrottle:
    """Pauses, outages, and the worker that is the first to ask after one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last_pause: tuple[float, str] | None = None  # the last that began: seconds, reason
        self.outages = 0
        self._paused_until = clock.now
        self._probed_until = clock.now

    def take_request(self) -> bool:
        """Allow every request except during a pause."""
        return self._clock.now >= self._paused_until

    def pause(self, seconds: float, reason: str, cause: PauseCause) -> None:
        """Make every worker wait; pauses that overlap count as one, and the longest applies."""
        now = self._clock.now
        self.last_pause = (seconds, reason)
        self.outages += now >= self._paused_until
        self._paused_until = max(self._paused_until, now + timedelta(seconds=seconds))
        self._probed_until = now

    def release_probe(self) -> None:
        """Let another worker ask first."""
        self._probed_until = self._clock.now

    def forget_pauses(self) -> None:
        """Forget every pause and outage."""
        self.outages = 0
        self._paused_until = self._probed_until = self._clock.now

    def end_outage(self) -> None:
        """Note that Polar accepts events again."""
        self.outages = 0
        self._probed_until = self._clock.now
