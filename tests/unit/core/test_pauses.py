"""The cause of a pause is a value, so no code parses an error's text."""

import pytest

from workers.core.pauses import PauseCause, cause_of
from workers.errors import (
    PolarBrokenError,
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarUnreachableError,
)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (PolarRateLimitedError("Polar answered 429", retry_after_seconds=60), PauseCause.RATE_LIMITED),
        (PolarDeniedError("Polar answered 401", status=401), PauseCause.DENIED),
        (PolarDeniedError("Polar answered 307", status=307), PauseCause.DENIED),
        (PolarBrokenError("Polar answered 500"), PauseCause.UNAVAILABLE),
        (PolarUnreachableError("Polar did not answer"), PauseCause.UNAVAILABLE),
    ],
)
def test_each_error_has_its_cause(error: PolarError, cause: PauseCause) -> None:
    assert cause_of(error) is cause
