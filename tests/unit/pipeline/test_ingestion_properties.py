"""Whatever Polar answers to many grants, each ends in one place, as what Polar has."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tests.support.drawn_grants import grants
from tests.support.fake_polar import FakePolar
from tests.support.ingesting import BROKEN, DENIED, LIMITED, UNREACHABLE, breaking_at, customers, ingest, keys
from workers.core.grants import Grant
from workers.core.usage_events import usage_event
from workers.errors import PolarRefusedError
from workers.timings import DEFAULT_TIMINGS


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """A round of ingesting and all that is against it."""

    grants: list[Grant]
    strangers: list[Grant]
    stones: list[Grant]
    script: list[BaseException | None]
    loses_answers: int
    outages: int
    strikes: dict[str, int]

    def polar(self) -> FakePolar:
        """Return a Polar that does not know the strangers, and answers 500 to the bad events."""
        is_stranger = customers(self.strangers)
        return FakePolar(
            known=lambda customer_id: not is_stranger(customer_id),
            breaks_at=breaking_at(self.stones),
            script=list(self.script),
            loses_answers=self.loses_answers,
        )


answers = st.sampled_from([None, None, BROKEN, UNREACHABLE, LIMITED, DENIED]) | st.builds(
    lambda indices: PolarRefusedError("Polar answered 422", named=dict.fromkeys(indices, "no")),
    st.lists(st.integers(-2, 40), max_size=3),
)


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    """Draw a round in which anything may go wrong."""
    those = draw(grants(40))
    some = st.lists(st.sampled_from(those), unique_by=lambda grant: grant.key, max_size=5)
    struck = draw(st.lists(st.integers(0, 7), min_size=len(those), max_size=len(those)))
    return Round(
        grants=those,
        strangers=draw(some),
        stones=draw(some),
        script=draw(st.lists(answers, max_size=8)),
        loses_answers=draw(st.integers(0, 1)),
        outages=draw(st.integers(0, 5)),
        strikes={grant.key: count for grant, count in zip(those, struck, strict=True)},
    )


@given(rounds())
def test_every_grant_ends_in_one_place_and_what_stands_nowhere_waits_for_a_pause(drawn: Round) -> None:
    done = ingest(drawn.polar(), drawn.grants, outages=drawn.outages, strikes=drawn.strikes)
    places = [*done.accepted, *done.refused, *done.later]
    assert len(places) == len(set(places))
    assert set(places) <= keys(drawn.grants)
    assert done.pause is not None or set(places) == keys(drawn.grants)


@given(rounds())
def test_what_is_called_accepted_is_what_polar_has(drawn: Round) -> None:
    polar = drawn.polar()
    done = ingest(polar, drawn.grants, outages=drawn.outages, strikes=drawn.strikes)
    assert done.accepted <= set(polar.events)
    # The other way round it cannot be known: an answer may have been lost.
    assert drawn.loses_answers or set(polar.events) == done.accepted


@given(rounds())
def test_an_event_is_never_sent_with_another_amount_customer_or_key(drawn: Round) -> None:
    polar = drawn.polar()
    ingest(polar, drawn.grants, outages=drawn.outages, strikes=drawn.strikes)
    expected = {grant.key: usage_event(grant) for grant in drawn.grants}
    assert all(event == expected[event["external_id"]] for sent in polar.requests for event in sent)


@given(rounds())
def test_each_request_is_small_sorted_and_without_doubles(drawn: Round) -> None:
    """Unsorted ids can deadlock with another worker's in Polar's database."""
    polar = drawn.polar()
    ingest(polar, drawn.grants, outages=drawn.outages, strikes=drawn.strikes)
    for sent in polar.requests:
        ids = [event["external_id"] for event in sent]
        assert 1 <= len(ids) <= DEFAULT_TIMINGS.events_per_request
        assert ids == sorted(set(ids))


@given(rounds())
def test_a_second_round_never_counts_anything_twice(drawn: Round) -> None:
    polar = drawn.polar()
    done = ingest(polar, drawn.grants, outages=drawn.outages, strikes=drawn.strikes)
    ingest(polar, [grant for grant in drawn.grants if grant.key not in done.accepted])
    assert all(
        polar.balance(grant.customer_id) == grant.units for grant in drawn.grants if grant.key in polar.events
    )
