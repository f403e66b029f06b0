"""The decision about each error of Polar's, as a table of errors and circumstances."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import (
    PolarBrokenError,
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)
from workers.pipeline.retries import (
    Circumstances,
    DeadLetter,
    Decision,
    Halve,
    PauseAll,
    RetryLater,
    decide,
    pause_seconds,
)

UNREACHABLE = PolarUnreachableError("no answer")
BROKEN = PolarBrokenError("Polar answered 500")
DENIED = PolarDeniedError("Polar answered 401")
LIMITED = PolarRateLimitedError("Polar answered 429", retry_after_seconds=60)


def refused(*indices: int) -> PolarRefusedError:
    return PolarRefusedError("Polar answered 422", named=dict.fromkeys(indices, "no such customer"))


def dead_letter(*indices: int) -> DeadLetter:
    return DeadLetter(reasons=dict.fromkeys(indices, "no such customer"))


def given_that(
    events: int = 1,
    *,
    others_pass: bool = False,
    strikes: int = 0,
    outages: int = 0,
    jitter: float = 0.0,
) -> Circumstances:
    return Circumstances(
        events=events, others_pass=others_pass, strikes=strikes, outages=outages, jitter=jitter
    )


ONE, MANY = given_that(1), given_that(500)

TABLE: list[tuple[str, PolarError, Circumstances, Decision]] = [
    ("no answer, one event", UNREACHABLE, ONE, PauseAll(seconds=1)),
    ("no answer, many", UNREACHABLE, MANY, PauseAll(seconds=1)),
    ("no answer, while others pass", UNREACHABLE, given_that(others_pass=True), PauseAll(seconds=1)),
    ("no answer, again", UNREACHABLE, given_that(outages=3), PauseAll(seconds=8)),
    ("no answer, patience is none of its business", UNREACHABLE, given_that(strikes=9), PauseAll(seconds=1)),
    ("denied", DENIED, MANY, PauseAll(seconds=1)),
    ("denied, for days", DENIED, given_that(500, outages=3000), PauseAll(seconds=60)),
    ("denied, while others pass", DENIED, given_that(others_pass=True), PauseAll(seconds=1)),
    ("rate limit", LIMITED, MANY, PauseAll(seconds=60)),
    ("rate limit, whatever came before", LIMITED, given_that(1, outages=5, jitter=1.0), PauseAll(seconds=60)),
    ("500, the first one", BROKEN, MANY, PauseAll(seconds=1)),
    ("500, many, again", BROKEN, given_that(500, outages=1), Halve()),
    ("500, many, while others pass", BROKEN, given_that(500, others_pass=True), Halve()),
    ("500, two, again", BROKEN, given_that(2, outages=1), Halve()),
    ("500, one, and nothing passes", BROKEN, given_that(1, outages=2), PauseAll(seconds=4)),
    ("500, one, and nothing passes, ever", BROKEN, given_that(1, outages=9, strikes=9), PauseAll(seconds=60)),
    ("500, one, while others pass", BROKEN, given_that(others_pass=True), RetryLater(seconds=10)),
    ("500, one, the 3rd time", BROKEN, given_that(others_pass=True, strikes=2), RetryLater(seconds=90)),
    ("500, one, the 5th time", BROKEN, given_that(others_pass=True, strikes=4), RetryLater(seconds=810)),
    (
        "500, one, the 6th time",
        BROKEN,
        given_that(others_pass=True, strikes=5),
        DeadLetter(reasons={0: "Polar answered 500 (6 times, while others passed)"}),
    ),
    ("refused and named", refused(3), MANY, dead_letter(3)),
    ("refused, several named", refused(0, 499), MANY, dead_letter(0, 499)),
    ("refused and nobody named, many", refused(), MANY, Halve()),
    ("refused and nobody named, one", refused(), ONE, DeadLetter(reasons={0: "Polar answered 422"})),
    ("refused, named outside the request", refused(500, -1), MANY, Halve()),
    ("refused, named outside, one", refused(1), ONE, DeadLetter(reasons={0: "Polar answered 422"})),
    ("refused, one in and one outside", refused(0, 1), ONE, dead_letter(0)),
    ("refused during an outage is content", refused(0), given_that(outages=5), dead_letter(0)),
]


@pytest.mark.parametrize(
    ("error", "circumstances", "decision"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_an_error_leads_to(error: PolarError, circumstances: Circumstances, decision: Decision) -> None:
    assert decide(error, circumstances) == decision


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_a_pause_is_half_a_second_to_a_minute_however_long_the_outage(outages: int, jitter: float) -> None:
    assert 0.5 <= pause_seconds(outages, jitter) <= 60


@given(st.integers(0, 100))
def test_a_pause_grows_and_jitter_takes_up_to_half_of_it(outages: int) -> None:
    assert pause_seconds(outages, 0.0) <= pause_seconds(outages + 1, 0.0)
    assert pause_seconds(outages, 1.0) == pause_seconds(outages, 0.0) / 2


errors = st.one_of(
    st.sampled_from([UNREACHABLE, BROKEN, DENIED, LIMITED]),
    st.lists(st.integers(-3, 12), max_size=5).map(lambda indices: refused(*indices)),
)
circumstances = st.builds(
    Circumstances,
    events=st.integers(1, 10),
    others_pass=st.booleans(),
    strikes=st.integers(0, 10),
    outages=st.integers(0, 100),
    jitter=st.floats(0, 1),
)


@given(errors, circumstances)
def test_only_content_is_ever_a_dead_letter(error: PolarError, given_: Circumstances) -> None:
    """An outage, a rate limit or a refused token fails no delivery, however long it lasts."""
    if isinstance(decide(error, given_), DeadLetter):
        assert isinstance(error, PolarRefusedError) or (
            isinstance(error, PolarBrokenError) and given_.others_pass and given_.events == 1
        )


@given(errors, circumstances)
def test_every_decision_but_a_pause_leaves_less_to_send(error: PolarError, given_: Circumstances) -> None:
    match decide(error, given_):
        case DeadLetter(reasons=reasons):
            assert reasons
            assert all(0 <= index < given_.events for index in reasons)
        case Halve():
            assert given_.events > 1
        case RetryLater():
            assert given_.events == 1
        case PauseAll(seconds=seconds):
            assert seconds > 0
