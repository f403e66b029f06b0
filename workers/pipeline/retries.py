"""PURE: what an error of Polar's leads to. Patience is for content, pauses are for the world."""

from collections.abc import Mapping
from dataclasses import dataclass

from workers.errors import (
    PolarBrokenError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
)
from workers.timings import DEFAULT_TIMINGS, Timings


@dataclass(frozen=True, kw_only=True, slots=True)
class Park:
    """Polar refuses these events (by index) for good: park them, send the rest again at once."""

    reasons: Mapping[int, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Halve:
    """Somebody in this batch is to blame and nobody is named: send it in two halves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Later:
    """This one event fails while others pass: it alone is tried again after a while."""

    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """The world is in the way: everybody waits, and nobody's patience is used up."""

    seconds: float


Decision = Park | Halve | Later | Pause


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What a decision depends on besides the error.

    ``events`` were in the request; ``others_pass`` if Polar took other events in this round;
    ``strikes`` are the times that this event failed alone; ``outages`` the pauses in a row before
    this one (the first 500 is taken for the world's: halving costs a dozen requests); ``jitter`` is a
    random number in 0..1.
    """

    events: int
    others_pass: bool = False
    strikes: int = 0
    outages: int = 0
    jitter: float = 1.0


def decide(error: PolarError, given: Circumstances, timings: Timings = DEFAULT_TIMINGS) -> Decision:
    """Return what to do about ``error``."""
    match error:
        case PolarRateLimitedError():
            return Pause(seconds=max(error.retry_after_seconds, timings.first_pause_seconds))
        case PolarRefusedError():
            return _content(error, given)
        case PolarBrokenError() if given.events > 1 and (given.others_pass or given.outages):
            return Halve()
        case PolarBrokenError() if given.events == 1 and given.others_pass:
            return _patience(error, given, timings)
        case _:
            return Pause(seconds=pause_seconds(given.outages, given.jitter, timings))


def pause_seconds(outages: int, jitter: float, timings: Timings = DEFAULT_TIMINGS) -> float:
    """Return how long everybody waits: doubling from a second to a minute, less up to a half."""
    doubled: float = timings.first_pause_seconds * 2 ** min(outages, 16)
    longest = min(doubled, timings.longest_pause_seconds)
    return longest * (1 - jitter / 2)


def _content(error: PolarRefusedError, given: Circumstances) -> Park | Halve:
    # An index outside the request would leave the batch as it is, to be sent again for ever.
    named = {i: words for i, words in error.named.items() if 0 <= i < given.events}
    if named:
        return Park(reasons=named)
    return Halve() if given.events > 1 else Park(reasons={0: str(error)})


def _patience(error: PolarError, given: Circumstances, timings: Timings) -> Later | Park:
    if given.strikes >= timings.max_retries:
        return Park(reasons={0: f"{error} ({given.strikes + 1} times, while others passed)"})
    return Later(seconds=timings.first_retry_seconds * 3**given.strikes)
