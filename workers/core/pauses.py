"""Why every worker waits before it asks Polar again."""

from enum import StrEnum

from workers.errors import PolarDeniedError, PolarError, PolarRateLimitedError


class PauseCause(StrEnum):
    """What Polar answered, as far as waiting depends on it."""

    UNAVAILABLE = "unavailable"
    """Polar is away, or answers 500: waiting helps."""
    RATE_LIMITED = "rate_limited"
    """Polar answered 429: we ask less often for a while."""
    DENIED = "denied"
    """Polar refuses the token, its scopes or the address: a person must act."""


def cause_of(error: PolarError) -> PauseCause:
    """Return the cause of a pause that ``error`` leads to."""
    match error:
        case PolarRateLimitedError():
            return PauseCause.RATE_LIMITED
        case PolarDeniedError():
            return PauseCause.DENIED
        case _:
            return PauseCause.UNAVAILABLE
