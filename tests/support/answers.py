"""Feeds responses to our client of Polar: recorded ones, and any that should make it fail."""

import httpx
import pytest
import respx

from app.demo.polar import access
from tests.support import recordings
from tests.support.builders import CUSTOMER
from workers.errors import PolarError
from workers.polar.client import Polar

URL = "https://polar.example"
INGEST = access.INGEST
TOKEN = "polar_oat_s3cret"
EVENT = {"name": "api_usage", "customer_id": CUSTOMER, "external_id": "key", "metadata": {"units": -10}}


def recorded(name: str) -> httpx.Response:
    """Return a recorded response of Polar."""
    answer = recordings.recorded(name)
    return httpx.Response(answer["status"], headers=answer["headers"], json=answer["body"])


def failure(
    polar: Polar, api: respx.MockRouter, answer: httpx.Response | Exception, events: int = 1
) -> PolarError:
    """Ingest ``events`` events, answered by ``answer``; return the error that our client raises."""
    api.post(INGEST).mock(side_effect=[answer])
    with pytest.raises(PolarError) as caught:
        polar.ingest([EVENT] * events)
    assert TOKEN not in str(caught.value)
    return caught.value
