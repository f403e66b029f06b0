"""A real Redis with a clock that the test moves, and a memory that it can turn back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from redis import Redis
from redis.commands.core import Script

from workers.store import keys

_CLOCK = "simulation:clock"
_EXPIRING = (
    keys.POLAR_CLOCK,
    keys.PAUSE,
    keys.PROBE,
    keys.BUDGET,
    keys.REDUCED_SHARE,
    keys.OUTAGE,
    keys.RECONCILED,
)
_STEP_MILLISECONDS = 2000  # a step of the simulation takes less
_MOMENT_MILLISECONDS = 50
_ASK_SERVER = "redis.call('TIME')"
_ASK_TEST = f"cjson.decode(redis.call('GET', '{_CLOCK}'))"


class ClockedRedis(Redis):
    """A client whose scripts take the time from a key; the server itself does not know that time."""

    def register_script(self, script: Any) -> Script:
        """Register a script that asks the test for the time."""
        return super().register_script(script.replace(_ASK_SERVER, _ASK_TEST))

    def time(self, **_: Any) -> tuple[int, int]:
        """Return the simulated time, as TIME does."""
        seconds, microseconds = cast(bytes, self.get(_CLOCK)).strip(b"[]").split(b",")
        return int(seconds), int(microseconds)


@dataclass
class Copy:
    """The content of a Redis at a time: each key with its value, and when it expires (0: never)."""

    rows: list[tuple[bytes, bytes, int]]


@dataclass
class SimulatedClock:
    """Moves the time of a Redis, and with it what expires soon; real time lets nothing expire."""

    redis: ClockedRedis
    milliseconds: int
    steady_milliseconds: int = 0
    """The time that has really passed."""
    on_wait: Callable[[timedelta], object] = lambda _passed: None
    """Called with all the time that has passed by waiting, whenever more has."""
    _expiries: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._write()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.steady_milliseconds += round(seconds * 1000)
        self.on_wait(timedelta(milliseconds=self.steady_milliseconds))
        self.step(seconds)

    def steady_seconds(self) -> float:
        """Return the time that has really passed."""
        return self.steady_milliseconds / 1000

    def step(self, seconds: float) -> None:
        """Set the clock. What expires by it does so earlier or later, as when time passes."""
        self.hold()
        self.milliseconds += round(seconds * 1000)
        self._write()
        for name, expires in self._expiries.items():
            self._let_live(name, expires - self.milliseconds)

    def hold(self) -> None:
        """Give what expires the time that it has left by this clock."""
        for name in _EXPIRING:
            left = self.redis.pttl(name)
            if left < 0:
                self._expiries.pop(name, None)
            elif self._is_new(name, left):
                self._expiries[name] = self.milliseconds + left
            else:
                self._let_live(name, self._expiries[name] - self.milliseconds)

    def _is_new(self, name: str, left: int) -> bool:
        """Return whether a key was written since the last time, and not only grew older."""
        older_by = self._expiries.get(name, 0) - self.milliseconds - left
        return not 0 <= older_by < _STEP_MILLISECONDS

    def _let_live(self, name: str, milliseconds: int) -> None:
        if milliseconds > _MOMENT_MILLISECONDS:
            self.redis.pexpire(name, milliseconds)
        else:
            self.redis.delete(name)

    def copy(self) -> Copy:
        """Return what the Redis has now."""
        names = list(self.redis.scan_iter(count=1000))
        pipeline = self.redis.pipeline(transaction=False)
        for name in names:
            pipeline.dump(name)
            pipeline.pttl(name)
        found = iter(pipeline.execute())
        return Copy(
            [
                (name, value, self.milliseconds + left if left > 0 else 0)
                for name, value, left in zip(names, found, found, strict=True)
                if value
            ]
        )

    def turn_back(self, copy: Copy) -> None:
        """Let the Redis have what it had then, as after a crash that lost what was not on disk."""
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.flushdb()
        for name, value, expires in copy.rows:
            left = expires - self.milliseconds
            if not expires or left > 0:
                pipeline.restore(name, left if expires else 0, value)
        pipeline.execute()
        self._expiries.clear()
        self._write()

    def _write(self) -> None:
        seconds, rest = divmod(self.milliseconds, 1000)
        self.redis.set(_CLOCK, f"[{seconds},{rest * 1000}]")
