"""What our client sends to create and change an endpoint and a meter, and how it waits out a rate limit."""

import json

import httpx
import pytest
import respx

from app.demo.polar import Polar as Standin
from app.demo.polar.organization import SETUP_SCOPES
from tests.support.answers import TOKEN, URL, recorded
from tests.support.polar_standin import client_of
from workers.errors import PolarDeniedError, PolarRateLimitedError, PolarRefusedError, PolarUnreachableError
from workers.polar.client import Polar

ENDPOINTS, METERS = "/v1/webhooks/endpoints", "/v1/meters/"
HOOKS = "https://credits.example.com/webhooks/polar"
ENDPOINT = recorded("webhook_endpoints").json()["items"][0]
LIMITED = httpx.Response(429, headers={"retry-after": "60"})


def test_an_endpoint_is_created_in_the_format_raw_and_its_secret_comes_back(
    polar: Polar, api: respx.MockRouter
) -> None:
    route = api.post(ENDPOINTS).mock(return_value=httpx.Response(201, json=ENDPOINT))
    assert polar.create_endpoint(url=HOOKS, events=["order.paid"])["secret"] == ENDPOINT["secret"]
    assert json.loads(route.calls.last.request.content) == {
        "url": HOOKS,
        "name": "credit-granter",
        "format": "raw",
        "events": ["order.paid"],
    }


def test_only_the_fields_that_change_are_sent(polar: Polar, api: respx.MockRouter) -> None:
    route = api.patch(f"{ENDPOINTS}/{ENDPOINT['id']}").mock(return_value=httpx.Response(200, json=ENDPOINT))
    assert polar.update_endpoint(ENDPOINT["id"], {"enabled": True}) == ENDPOINT
    assert json.loads(route.calls.last.request.content) == {"enabled": True}


def test_a_meter_sums_a_property_of_the_events_of_one_name(polar: Polar, api: respx.MockRouter) -> None:
    route = api.post(METERS).mock(return_value=httpx.Response(201, json={"id": "1"}))
    polar.create_meter(title="API usage", name="api_usage", summed="units")
    assert json.loads(route.calls.last.request.content) == {
        "name": "API usage",
        "filter": {
            "conjunction": "and",
            "clauses": [{"property": "name", "operator": "eq", "value": "api_usage"}],
        },
        "aggregation": {"func": "sum", "property": "units"},
    }


@pytest.mark.parametrize("answer", [httpx.Response(201, json=[]), httpx.Response(201, text="<html>")])
def test_an_answer_that_is_no_endpoint_is_an_error(
    polar: Polar, api: respx.MockRouter, answer: httpx.Response
) -> None:
    api.post(ENDPOINTS).mock(return_value=answer)
    with pytest.raises(PolarUnreachableError):
        polar.create_endpoint(url=HOOKS, events=[])


@pytest.mark.parametrize(
    "url", ["http://credits.example.com/webhooks/polar", "https://localhost/webhooks/polar"]
)
def test_polar_refuses_urls_that_it_will_not_send_to(url: str) -> None:
    standin = Standin(scopes=SETUP_SCOPES)
    with client_of(standin) as client, pytest.raises(PolarRefusedError):
        client.create_endpoint(url=url, events=["order.paid"])
    assert standin.endpoints == []


def test_a_look_whether_the_token_may_create_creates_nothing() -> None:
    standin = Standin(scopes=SETUP_SCOPES)
    with client_of(standin) as client:
        client.check_endpoint_creation()
        client.check_meter_creation()
    assert (standin.endpoints, standin.meters) == ([], {})


def test_a_token_that_may_not_create_is_denied() -> None:
    with client_of(Standin()) as client:
        for check in (client.check_endpoint_creation, client.check_meter_creation):
            with pytest.raises(PolarDeniedError) as caught:
                check()
            assert caught.value.status == 403


def test_a_client_that_may_wait_waits_out_one_rate_limit(api: respx.MockRouter) -> None:
    waits: list[float] = []
    polar = Polar(url=URL, token=TOKEN, wait=waits.append)
    api.get(METERS).mock(side_effect=[LIMITED, recorded("meters"), LIMITED, LIMITED])
    assert polar.read_list(METERS)[1] == 0
    assert waits == [60]
    with pytest.raises(PolarRateLimitedError):
        polar.read_list(METERS)
    assert waits == [60, 60]


def test_any_other_client_reports_the_rate_limit_at_once(polar: Polar, api: respx.MockRouter) -> None:
    route = api.get(METERS).mock(return_value=LIMITED)
    with pytest.raises(PolarRateLimitedError):
        polar.read_list(METERS)
    assert route.call_count == 1
