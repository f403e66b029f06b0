"""Pure: decides what an error of Polar's leads to. An outage pauses all workers, bad content fails alone."""

from collections.abc import Mapping

from msgspec import Struct

from workers.errors import (
    PolarBrokenError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
)
from workers.timings import DEFAULT_TIMINGS, Timings


class DeadLetter(Struct, frozen=True, kw_only=True):
    """Polar refuses these events (by index) for good: fail their deliveries, send the rest again at once."""

    reasons: Mapping[int, str]


class Halve(Struct, frozen=True, kw_only=True):
    """Some event in this batch is at fault, but Polar does not name it: send the batch in two halves."""


class RetryLater(Struct, frozen=True, kw_only=True):
    """This single event fails while Polar accepts others: retry it alone, after a while."""

    seconds: float


class PauseAll(Struct, frozen=True, kw_only=True):
    """No event is at fault: make every worker wait, and use up no event's retries."""

    seconds: float


Decision = DeadLetter | Halve | RetryLater | PauseAll


class Circumstances(Struct, frozen=True, kw_only=True):
    """Everything besides the error that a decision depends on.

    ``events`` is the size of the request. ``others_pass`` says whether Polar accepted other events of this
    lease. ``strikes`` counts how often this event has failed alone. ``outages`` counts the pauses in a row
    before this one: the first 500 is taken for an outage, because finding an event at fault by halving
    costs a dozen requests. ``jitter`` is a random number from 0 to 1.
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
            return PauseAll(seconds=max(error.retry_after_seconds, timings.first_pause_seconds))
        case PolarRefusedError():
            return _refused(error, given)
        case PolarBrokenError() if given.events > 1 and (given.others_pass or given.outages):
            return Halve()
        case PolarBrokenError() if given.events == 1 and given.others_pass:
            return _failed_alone(error, given, timings)
        case _:
            return PauseAll(seconds=pause_seconds(given.outages, given.jitter, timings))


def pause_seconds(outages: int, jitter: float, timings: Timings = DEFAULT_TIMINGS) -> float:
    """Return the length of a pause: it doubles with each pause in a row; jitter takes off up to half."""
    doubled: float = timings.first_pause_seconds * 2 ** min(outages, 16)
    longest = min(doubled, timings.longest_pause_seconds)
    return longest * (1 - jitter / 2)


def _refused(error: PolarRefusedError, given: Circumstances) -> DeadLetter | Halve:
    # With an index outside the request, the same batch would be sent again for ever.
    named = {i: reason for i, reason in error.named.items() if 0 <= i < given.events}
    if named:
        return DeadLetter(reasons=named)
    return Halve() if given.events > 1 else DeadLetter(reasons={0: str(error)})


def _failed_alone(error: PolarError, given: Circumstances, timings: Timings) -> RetryLater | DeadLetter:
    if given.strikes >= timings.max_retries:
        return DeadLetter(reasons={0: f"{error} ({given.strikes + 1} times, while others passed)"})
    return RetryLater(seconds=timings.first_retry_seconds * 3**given.strikes)
