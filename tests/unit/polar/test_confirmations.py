"""Requests to Polar, and which answers are a success."""

import json

import httpx
import pytest
import respx

from tests.support.answers import EVENT, INGEST, TOKEN, failure, recorded
from workers.errors import PolarUnreachableError
from workers.polar.client import Polar


@pytest.mark.parametrize("name", ["ingest_inserted", "ingest_duplicate"])
def test_what_polar_has_or_has_had_is_a_success(polar: Polar, api: respx.MockRouter, name: str) -> None:
    api.post(INGEST).mock(return_value=recorded(name))
    polar.ingest([EVENT])


def test_the_request_is_one_that_polar_takes(polar: Polar, api: respx.MockRouter) -> None:
    route = api.post(INGEST).mock(return_value=recorded("ingest_inserted"))
    polar.ingest([EVENT])
    request = route.calls.last.request
    assert json.loads(request.content) == {"events": [EVENT]}
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["polar-version"] == "2026-10"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.content))


def test_a_base_url_with_a_path_keeps_it() -> None:
    with respx.mock(base_url="https://host.example/polar") as api:
        api.post(INGEST).mock(return_value=recorded("ingest_inserted"))
        client = Polar(url="https://host.example/polar", token=TOKEN)
        client.ingest([EVENT])
        client.close()


@pytest.mark.parametrize(
    "content",
    [
        b'{"inserted": 1, "duplicates": 0}',
        b'{"inserted": 3, "duplicates": 0}',
        b'{"inserted": 2, "duplicates": 2}',
        b'{"inserted": 3, "duplicates": -1}',
        b'{"inserted": "2", "duplicates": 0}',
        b'{"inserted": 2.0, "duplicates": 0}',
        b'{"inserted": true, "duplicates": true}',
        b'{"inserted": null, "duplicates": 2}',
        b'{"duplicates": 2}',
        b"{}",
        b"[]",
        b"2",
        b"null",
        b"",
        b"<html>It works!</html>",
        b"\xff\xfe",
        b'{"inserted": 2',
    ],
)
def test_a_200_that_does_not_confirm_every_event_is_no_success(
    polar: Polar, api: respx.MockRouter, content: bytes
) -> None:
    error = failure(polar, api, httpx.Response(200, content=content), events=2)
    assert type(error) is PolarUnreachableError


def test_a_confirmation_that_is_no_number_is_not_repeated(polar: Polar, api: respx.MockRouter) -> None:
    """It would appear in the reason of every delivery that waits for it."""
    answer = httpx.Response(200, json={"inserted": "x" * 100_000, "duplicates": 0})
    assert len(str(failure(polar, api, answer, events=2))) < 100


@pytest.mark.parametrize("counts", [(2, 0), (0, 2), (1, 1)])
def test_inserted_and_duplicates_together_confirm(
    polar: Polar, api: respx.MockRouter, counts: tuple[int, int]
) -> None:
    answer = httpx.Response(200, json=dict(zip(("inserted", "duplicates"), counts, strict=True)))
    api.post(INGEST).mock(return_value=answer)
    polar.ingest([EVENT, EVENT])
