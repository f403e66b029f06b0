"""Polar's answers for tests of our client: recorded ones, and what the client makes of them."""

import json

import httpx
import pytest
import respx

from tests.support.builders import CUSTOMER
from tests.support.recordings import RESPONSES
from workers.errors import PolarError
from workers.polar.client import Polar

URL = "https://polar.example"
INGEST = "/v1/events/ingest"
TOKEN = "polar_oat_s3cret"
EVENT = {"name": "api_usage", "customer_id": CUSTOMER, "external_id": "key", "metadata": {"units": -10}}


def recorded(name: str) -> httpx.Response:
    answer = json.loads((RESPONSES / f"{name}.json").read_bytes())
    return httpx.Response(answer["status"], headers=answer["headers"], json=answer["body"])


def failure(
    polar: Polar, api: respx.MockRouter, answer: httpx.Response | Exception, events: int = 1
) -> PolarError:
    api.post(INGEST).mock(side_effect=[answer])
    with pytest.raises(PolarError) as caught:
        polar.ingest([EVENT] * events)
    assert TOKEN not in str(caught.value)
    return caught.value
