"""How a worker finds out that Redis's clock has stepped, and how two hosts' clocks are compared."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.clocks import Reading, describe_difference, step_between, unseen_step

SECONDS = st.floats(0, 30)


def reading(*, redis: float, ours: float, took: float = 0, last: float = 0) -> Reading:
    """Return what a tick read; all arguments are in seconds."""
    return Reading(
        now_ms=redis * 1000,
        last_ms=last * 1000,
        steps=0,
        before_ms=ours * 1000,
        after_ms=(ours + took) * 1000,
    )


def test_two_clocks_that_run_alike_show_no_step() -> None:
    assert step_between(reading(redis=1000, ours=5), reading(redis=1002, ours=7)) == 0


@pytest.mark.parametrize("step", [-86_400, -3_600, -10, 10, 3_600, 86_400])
def test_a_step_is_found_with_its_size_and_direction(step: int) -> None:
    later = reading(redis=1002 + step, ours=7)
    assert step_between(reading(redis=1000, ours=5), later) == step * 1000


@given(took=SECONDS, later=SECONDS, first=st.floats(0, 1), second=st.floats(0, 1))
def test_slow_requests_never_look_like_a_step(took: float, later: float, first: float, second: float) -> None:
    """Redis reads its clock at some time during each request."""
    one = reading(redis=1000 + took * first, ours=0, took=took)
    start = took + 2
    assert step_between(one, reading(redis=1000 + start + later * second, ours=start, took=later)) == 0


@given(took=st.floats(0, 10), at=st.floats(0, 1), step=st.sampled_from([-3600, 3600]))
def test_during_slow_requests_a_step_is_found_to_within_their_time(took: float, at: float, step: int) -> None:
    later = reading(redis=1002 + step + took * at, ours=2, took=took)
    found = step_between(reading(redis=1000, ours=0), later)
    assert abs(found - step * 1000) <= took * 1000


@pytest.mark.parametrize(("last", "step"), [(0, 0), (900, 0), (1002, 0), (1060, -60), (4600, -3600)])
def test_a_step_that_nobody_saw_shows_by_times_that_are_still_to_come(last: int, step: int) -> None:
    assert unseen_step(reading(redis=1000, ours=5, last=last)) == step * 1000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, None),
        (-59, None),
        (60, "this host's clock is 60 s ahead of Polar's"),
        (-420, "this host's clock is 7 min behind Polar's"),
        (86_400 * 2, "this host's clock is 2 d ahead of Polar's"),
    ],
)
def test_a_difference_is_described_from_a_minute_on(seconds: int, text: str | None) -> None:
    assert describe_difference(timedelta(seconds=seconds), "Polar's") == text
