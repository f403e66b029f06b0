"""The stand-in's faults, its rate limit, and its record of every attempt."""

import pytest

from app.demo.polar import Garbage, Polar, RateLimited, Status
from tests.support.polar_standin import INGEST, ask, event, ingest


def test_paths_are_exact(polar: Polar) -> None:
    assert ask(polar, "GET", "/v1/customer-meters").status_code == 307
    assert ask(polar, "POST", f"{INGEST}/", json={}).status_code == 307


def test_requests_beyond_the_limit_wait_for_the_window_to_pass(polar: Polar) -> None:
    """Requests to any path count; refused ones do not."""
    now = 0.0
    polar.requests_per_minute, polar.clock = 2, lambda: now
    assert ask(polar, "GET", "/v1/nowhere/").status_code == 404
    assert ingest(polar, event()).status_code == 200

    refused = ingest(polar, event())

    assert (refused.status_code, refused.content) == (429, b"")
    assert refused.headers["retry-after"] == "60"
    now = 60.0
    assert ingest(polar, event()).status_code == 200


def test_every_attempt_is_recorded_with_its_status(polar: Polar) -> None:
    good, bad = event(external_id="key"), event(customer_id="nope")

    ingest(polar, good)
    ingest(polar, bad)
    ask(polar, "POST", INGEST, content="{")

    assert [(list(a.events), a.status) for a in polar.received] == [([good], 200), ([bad], 422), ([], 422)]


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Status(503, "try later"), 503, "try later"),
        (RateLimited(retry_after=1), 429, ""),
        (Garbage(), 200, "<html>It works!</html>"),
        (Garbage('{"inserted": 0, "duplicates": 0}'), 200, '{"inserted": 0, "duplicates": 0}'),
    ],
)
def test_a_fault_answers_in_place_of_polar_and_only_once(
    polar: Polar, fault: Status | RateLimited | Garbage, status: int, body: str
) -> None:
    polar.faults.append(fault)

    answer = ingest(polar, event())

    assert (answer.status_code, answer.text) == (status, body)
    assert polar.events == []
    assert ingest(polar, event()).json() == {"inserted": 1, "duplicates": 0}


def test_a_rate_limit_says_how_long(polar: Polar) -> None:
    polar.faults.append(RateLimited(retry_after=1))

    assert ingest(polar, event()).headers["retry-after"] == "1"
