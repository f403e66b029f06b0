"""Defines the causes of a pause, during which no worker sends to Polar."""

from enum import StrEnum

from workers.errors import PolarDeniedError, PolarError, PolarRateLimitedError


class PauseCause(StrEnum):
    """Why no worker sends to Polar for a while."""

    UNAVAILABLE = "unavailable"
    """Polar is down, or answers 500: waiting helps."""
    RATE_LIMITED = "rate_limited"
    """Polar answered 429: requests were sent too often."""
    DENIED = "denied"
    """Polar refuses the token, its scopes or the address: a person must act."""


def cause_of(error: PolarError) -> PauseCause:
    """Return the cause of the pause that follows ``error``."""
    match error:
        case PolarRateLimitedError():
            return PauseCause.RATE_LIMITED
        case PolarDeniedError():
            return PauseCause.DENIED
        case _:
            return PauseCause.UNAVAILABLE
