"""Pure: by how much the clock of Redis has stepped, and how the clocks of two hosts differ."""

from datetime import timedelta

from msgspec import Struct

from config.durations import format_duration

# Computers that set their clocks over the network differ by less than a second.
NOTABLE_DIFFERENCE = timedelta(minutes=1)

# From here on, a receiver refuses webhooks as stale.
LARGEST_DIFFERENCE = timedelta(minutes=5)

CLOCK_ADVICE = (
    "set the one that is wrong (NTP): a receiver whose clock is off by more than 5 minutes refuses every "
    "webhook"
)

_SMALLEST_STEP_MS = 5000  # a smaller one delays nothing by much


def describe_difference(ahead: timedelta, other: str) -> str | None:
    """Return how this host's clock differs from another, if the difference matters."""
    if abs(ahead) < NOTABLE_DIFFERENCE:
        return None
    direction = "ahead of" if ahead > timedelta(0) else "behind"
    return f"this host's clock is {format_duration(abs(ahead))} {direction} {other}"


class Reading(Struct, frozen=True, kw_only=True):
    """What one tick has read: Redis's time, and between which two moments of our steady clock that was.

    ``last_ms`` is the latest time that was stored before, by whatever worker or receiver. ``steps`` counts
    the steps that workers have mended.
    """

    now_ms: float
    last_ms: float
    steps: int
    before_ms: float
    after_ms: float


def step_between(last: Reading, reading: Reading) -> float:
    """Return by how many ms the clock of Redis has stepped since ``last``: negative if back, 0 if it has not.

    How long the requests took limits how exactly we know it, but never makes it look like a step.
    """
    shown = reading.now_ms - last.now_ms
    longest = shown - (reading.before_ms - last.after_ms)
    shortest = shown - (reading.after_ms - last.before_ms)
    least = 0.0 if shortest <= 0 <= longest else min(longest, shortest, key=abs)
    return (longest + shortest) / 2 if abs(least) >= _SMALLEST_STEP_MS else 0.0


def unseen_step(reading: Reading) -> float:
    """Return a step back (negative, in ms) that shows only by stored times that are still to come; else 0.

    It was before this worker started, or the clock went there and back between two ticks.
    """
    ahead = reading.last_ms - reading.now_ms
    return -ahead if ahead >= _SMALLEST_STEP_MS else 0.0
