"""Refusals are logged at once, but too seldom to fill the log."""

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.receiver.refusal_log import RefusalLog

QUIET_SECONDS = 10


class Stopwatch:
    """A fake clock."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.seconds


def told(*moments: tuple[float, str]) -> list[tuple[str, int]]:
    """Return the reason and count of each line that is logged for refusals at these moments."""
    stopwatch = Stopwatch()
    with capture_logs() as lines:
        refusals = RefusalLog(now=stopwatch)
        for stopwatch.seconds, reason in moments:
            refusals.add(reason)
    assert {line["log_level"] for line in lines} <= {"warning"}
    assert {line["event"] for line in lines} <= {"request refused"}
    return [(line["reason"], line["count"]) for line in lines]


def test_the_first_refusal_is_logged_at_once() -> None:
    assert told((0, "stale")) == [("stale", 1)]


def test_refusals_that_follow_soon_are_logged_together_with_a_later_one() -> None:
    flood = [(second, "stale") for second in range(10)]
    assert told(*flood) == [("stale", 1)]
    assert told(*flood, (10, "stale")) == [("stale", 1), ("stale", 10)]


def test_each_reason_is_logged_by_itself() -> None:
    """A flood of forgeries hides nothing else."""
    assert told((0, "forged"), (1, "stale"), (2, "forged")) == [("forged", 1), ("stale", 1)]


def test_after_ten_quiet_seconds_a_refusal_is_logged_at_once_again() -> None:
    assert told((0, "stale"), (100, "stale"), (200, "stale")) == [("stale", 1)] * 3


@given(st.lists(st.tuples(st.floats(0, 10), st.sampled_from("ab")), min_size=1, max_size=50))
def test_a_reason_is_logged_once_in_ten_seconds_and_no_refusal_is_counted_twice(
    waits: list[tuple[float, str]],
) -> None:
    moments, now = [], 0.0
    for wait, reason in waits:
        now += wait
        moments.append((now, reason))
    lines = told(*moments)
    for reason in {reason for _, reason in waits}:
        times = [count for one, count in lines if one == reason]
        assert 1 <= len(times) <= 1 + now // QUIET_SECONDS
        assert sum(times) <= len([one for _, one in waits if one == reason])
