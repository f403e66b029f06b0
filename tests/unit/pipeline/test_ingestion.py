"""Many grants in few requests, and what follows from each of Polar's answers."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import grant_of, some_id
from tests.support.drawn_grants import grants
from tests.support.fake_polar import FakePolar
from tests.support.ingesting import (
    BROKEN,
    DENIED,
    LIMITED,
    UNREACHABLE,
    breaking_at,
    customers,
    ingest,
    keys,
    many,
)
from workers.core.grants import Grant
from workers.core.outcomes import IngestionResult
from workers.core.pauses import PauseCause
from workers.errors import PolarError, PolarRefusedError
from workers.pipeline.ingestion import Ingestion
from workers.timings import DEFAULT_TIMINGS


@given(grants(60), st.data())
def test_whom_polar_does_not_know_is_refused_and_all_others_accepted(
    those: list[Grant], data: st.DataObject
) -> None:
    strangers = data.draw(st.lists(st.sampled_from(those), unique_by=lambda grant: grant.key))
    is_stranger = customers(strangers)
    polar = FakePolar(known=lambda customer_id: not is_stranger(customer_id))
    done = ingest(polar, those)
    assert set(done.refused) == keys(strangers)
    assert done.accepted == keys(those) - keys(strangers)
    assert set(done.refused.values()) <= {"customer_id: Customer does not exist."}
    assert len(polar.requests) <= 2


def test_shapes_and_customers_that_polar_refuses_are_weeded_in_turn() -> None:
    """Bad shapes hide unknown customers, so there are three requests and not two."""
    those = [*many(10), grant_of(10, meter="m" * 129, customer_id=some_id(10))]
    is_stranger = customers(those[:2])
    polar = FakePolar(known=lambda customer_id: not is_stranger(customer_id))
    done = ingest(polar, those)
    assert set(done.refused) == keys([*those[:2], those[10]])
    assert done.accepted == keys(those[2:10])
    assert [len(sent) for sent in polar.requests] == [11, 10, 8]


def test_a_refusal_that_names_nobody_is_narrowed_down_to_its_event() -> None:
    those = many(64)

    def refuse(events: Sequence[Mapping[str, Any]]) -> int:
        if any(event["external_id"] == those[40].key for event in events):
            raise PolarRefusedError("Polar answered 413", named={})
        return 0

    done = Ingestion(refuse, may_send=lambda: True, strikes={}, outages=0, jitter=lambda: 0.0).run(
        those, leased_at=time.monotonic()
    )
    assert done.refused == {those[40].key: "Polar answered 413"}
    assert done.accepted == keys(those) - {those[40].key}


@pytest.mark.parametrize("count", [2, 3, 250, 2 * DEFAULT_TIMINGS.events_per_request + 1])
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_a_lone_event_that_polar_stumbles_over_is_put_off_and_the_rest_accepted(
    count: int, place: float
) -> None:
    those = many(count)
    stone = those[round(place * (count - 1))]
    done = ingest(FakePolar(breaks_at=breaking_at([stone])), those, outages=1)
    assert done.later == {stone.key: (10, "Polar answered 500")}
    assert done.accepted == keys(those) - {stone.key}
    assert (done.refused, done.pause) == ({}, None)


def test_an_event_that_fails_alone_for_the_sixth_time_is_refused() -> None:
    those = many(10)
    stone = those[7]
    polar = FakePolar(breaks_at=breaking_at([stone]))
    done = ingest(polar, those, outages=1, strikes={stone.key: 5})
    assert done.refused == {stone.key: "Polar answered 500 (6 times, while others passed)"}
    assert done.accepted == keys(those) - {stone.key}


def test_a_first_500_is_taken_for_an_outage_for_halving_costs_a_dozen_requests() -> None:
    polar = FakePolar(script=[BROKEN])
    done = ingest(polar, many(250))
    assert done.pause == (1, "Polar answered 500")
    assert len(polar.requests) == 1


@pytest.mark.parametrize("stones", [[0, 1, 2], [0, 1, 2, 3, 4], [247, 248, 249], [0, 125, 249]])
def test_events_that_polar_stumbles_over_do_not_keep_the_others_waiting(stones: list[int]) -> None:
    """Three meters of one order have keys side by side, and one customer may break them all."""
    those = many(250)
    culprits = [those[index] for index in stones]
    done = ingest(FakePolar(breaks_at=breaking_at(culprits)), those, outages=1)
    assert done.accepted == keys(those) - keys(culprits)
    assert set(done.later) == keys(culprits)


@pytest.mark.parametrize("error", [UNREACHABLE, LIMITED, DENIED], ids=["unreachable", "429", "401"])
@pytest.mark.parametrize("outages", [0, 1, 50])
def test_an_outage_costs_one_request_a_round_and_blames_nobody(error: PolarError, outages: int) -> None:
    polar = FakePolar(script=[error] * 100)
    done = ingest(polar, many(2 * DEFAULT_TIMINGS.events_per_request), outages=outages)
    assert len(polar.requests) == 1
    assert done.pause is not None
    assert (done.accepted, done.refused, done.later) == (set(), {}, {})


@pytest.mark.parametrize("count", [1, 2, 3, 4, 250, 2 * DEFAULT_TIMINGS.events_per_request])
@pytest.mark.parametrize("outages", [0, 1, 50])
def test_an_outage_of_500s_costs_few_requests_and_blames_nobody(count: int, outages: int) -> None:
    polar = FakePolar(breaks_at=lambda event: True)
    done = ingest(polar, many(count), outages=outages)
    assert len(polar.requests) <= (1 if outages == 0 else 40)
    assert done.pause is not None
    assert (done.accepted, done.refused, done.later) == (set(), {}, {})


def test_a_rate_limits_retry_after_holds_whatever_else_went_wrong_in_the_round() -> None:
    polar = FakePolar(script=[BROKEN, BROKEN, LIMITED])  # both; the first alone; the second alone
    done = ingest(polar, many(2), outages=1)
    assert done.pause == (60, "Polar answered 429")
    assert done.cause is PauseCause.RATE_LIMITED


def test_of_all_pauses_only_a_rate_limits_says_that_we_ask_too_often() -> None:
    for error in (BROKEN, UNREACHABLE, DENIED):
        done = ingest(FakePolar(script=[error]), many(2))
        assert done.pause is not None
        assert done.cause is not PauseCause.RATE_LIMITED


def test_no_second_request_is_made_so_late_that_the_lease_might_end_before_polar_answers() -> None:
    polar, those = FakePolar(), many(2 * DEFAULT_TIMINGS.events_per_request)
    late = Ingestion(polar.ingest, may_send=lambda: True, strikes={}, outages=0, jitter=lambda: 0.0)
    # The first is always sent: a lease that takes this long to plan would never get one.
    first = those[: DEFAULT_TIMINGS.events_per_request]
    assert late.run(those, leased_at=time.monotonic() - 10) == IngestionResult(accepted=keys(first))


def test_what_was_accepted_before_a_pause_stays_accepted() -> None:
    those = many(2 * DEFAULT_TIMINGS.events_per_request)
    done = ingest(FakePolar(script=[None, LIMITED]), those)
    assert done.accepted == keys(those[: DEFAULT_TIMINGS.events_per_request])
    assert done.pause == (60, "Polar answered 429")


def test_grants_of_any_number_go_in_requests_of_at_most_500() -> None:
    polar = FakePolar()
    ingest(polar, many(1_201))
    assert [len(sent) for sent in polar.requests] == [500, 500, 201]


def test_without_grants_nothing_is_sent() -> None:
    polar = FakePolar()
    assert ingest(polar, []) == IngestionResult()
    assert polar.requests == []


def test_what_may_not_be_asked_yet_is_left_unsent_and_blames_nobody() -> None:
    polar = FakePolar()
    pacer = iter([True, True, False])
    those = many(3 * DEFAULT_TIMINGS.events_per_request)
    ingestion = Ingestion(
        polar.ingest, may_send=lambda: next(pacer), strikes={}, outages=0, jitter=lambda: 0.0
    )
    done = ingestion.run(those, leased_at=time.monotonic())
    assert done == IngestionResult(accepted=keys(those[: 2 * DEFAULT_TIMINGS.events_per_request]))
