"""Steps of a clock, and what tests of them look at."""

from redis import Redis

from tests.support.moving_clock import DAY, HOUR, MINUTE
from workers.monitoring.health import examine

STEPS = [-DAY, -10 * MINUTE, HOUR, DAY]
BACK = [step for step in STEPS if step < 0]

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
SLOW_MS = 20_000
"""What the machine may need for a test's own steps."""


def check(redis: Redis, name: str) -> tuple[bool, str]:
    """Return whether a check of the health is well, and what it says."""
    (found,) = [one for one in examine(redis) if one.name == name]
    return found.ok, found.detail
