"""Endpoints and meters that are created at the stand-in, as Polar creates them."""

from typing import Any

import pytest

from app.demo.polar import Polar
from app.demo.polar.organization import SETUP_SCOPES
from tests.support.polar_standin import ask
from tests.support.recordings import recorded

ENDPOINTS, METERS = "/v1/webhooks/endpoints", "/v1/meters/"
ENDPOINT = {"url": "https://credits.example.com/webhooks/polar", "format": "raw", "events": ["order.paid"]}
METER: dict[str, Any] = {
    "name": "API usage",
    "filter": {
        "conjunction": "and",
        "clauses": [{"property": "name", "operator": "eq", "value": "api_usage"}],
    },
    "aggregation": {"func": "sum", "property": "units"},
}


@pytest.fixture
def polar() -> Polar:
    """Return an organization whose token has every scope."""
    return Polar(scopes=SETUP_SCOPES)


def test_an_endpoint_gets_a_secret_which_the_list_shows(polar: Polar) -> None:
    answer = ask(polar, "POST", ENDPOINTS, json=ENDPOINT)
    created = answer.json()
    assert answer.status_code == 201
    assert created.items() >= ENDPOINT.items()
    assert len(created["secret"].removeprefix("whsec_")) == 32
    assert set(created) == set(recorded("webhook_endpoints")["body"]["items"][0])
    assert ask(polar, "GET", ENDPOINTS).json()["items"] == [created]


def test_the_newest_endpoint_is_listed_first(polar: Polar) -> None:
    made = [ask(polar, "POST", ENDPOINTS, json=ENDPOINT).json()["id"] for _ in range(3)]
    assert [one["id"] for one in ask(polar, "GET", ENDPOINTS).json()["items"]] == made[::-1]


def test_a_change_leaves_the_other_fields(polar: Polar) -> None:
    before = ask(polar, "POST", ENDPOINTS, json=ENDPOINT).json()
    path = f"{ENDPOINTS}/{before['id']}"
    after = ask(polar, "PATCH", path, json={"enabled": False, "format": None}).json()
    assert after["modified_at"]
    assert after == {**before, "enabled": False, "modified_at": after["modified_at"]}
    assert ask(polar, "GET", ENDPOINTS).json()["items"] == [after]


def test_an_endpoint_that_is_not_there_cannot_be_changed(polar: Polar) -> None:
    path = f"{ENDPOINTS}/ac0e6c28-be0b-4c70-8321-da36fd5f60bf"
    assert ask(polar, "PATCH", path, json={"enabled": True}).status_code == 404


@pytest.mark.parametrize(
    "url", ["", "http://a.example", "https://localhost/x", "https://[::1]/x", "ftp://a.example"]
)
def test_a_url_to_which_polar_sends_nothing_is_refused(polar: Polar, url: str) -> None:
    answer = ask(polar, "POST", ENDPOINTS, json={**ENDPOINT, "url": url})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "url"]
    assert polar.endpoints == []


def test_a_meter_is_created_and_counts(polar: Polar) -> None:
    answer = ask(polar, "POST", METERS, json=METER)
    assert answer.status_code == 201
    assert answer.json().items() >= METER.items()
    assert polar.meters["API usage"].counts("api_usage")
    assert ask(polar, "GET", METERS).json()["items"] == [answer.json()]


def test_a_meter_needs_a_title_of_three_characters(polar: Polar) -> None:
    answer = ask(polar, "POST", METERS, json={**METER, "name": "ab"})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "name"])


@pytest.mark.parametrize(("token", "status"), [("polar_oat_other", 401), (None, 401), (Polar.token, 403)])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", ENDPOINTS), ("PATCH", f"{ENDPOINTS}/1"), ("POST", METERS)]
)
def test_writing_needs_a_scope_of_its_own(
    polar: Polar, method: str, path: str, token: str | None, status: int
) -> None:
    polar.scopes -= {"webhooks:write", "meters:write"}
    assert ask(polar, method, path, token=token, json={}).status_code == status
