"""Sends requests to the stand-in for Polar without a socket, directly or through our own client."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import httpx
from msgspec.structs import replace

from app.demo.polar import Customer, Meter, Polar, access, create_app
from tests.support.recordings import recorded
from workers.polar.client import Polar as Client

CUSTOMER = "2be1e608-32d5-4adb-aa15-bf61ea0cfb0b"
INGEST = access.INGEST
TOKEN = Polar.token


def organization() -> Polar:
    """Return the organization of the recordings, with its customer and its two meters."""
    polar = Polar()
    customer = Customer.model_validate(recorded("customer")["body"])
    polar.customers[str(customer.id)] = customer
    for item in recorded("meters")["body"]["items"]:
        polar.meters[item["name"]] = Meter.model_validate(item)
    return polar


def ask(polar: Polar, method: str, path: str, *, token: str | None = TOKEN, **kwargs: Any) -> httpx.Response:
    """Send one request; return the response."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(polar))
        async with httpx.AsyncClient(transport=transport, base_url="http://polar") as client:
            headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
            headers |= kwargs.pop("headers", {})
            return await client.request(method, path, headers=headers, **kwargs)

    return asyncio.run(request())


@contextmanager
def client_of(polar: Polar) -> Iterator[Client]:
    """Yield our own client, connected to ``polar``."""

    def answer(request: httpx.Request) -> httpx.Response:
        path, headers = request.url.raw_path.decode(), dict(request.headers)
        got = ask(polar, request.method, path, token=None, headers=headers, content=request.content)
        return httpx.Response(got.status_code, headers=got.headers, content=got.content)

    transport = httpx.MockTransport(answer)
    with closing(Client(url="http://polar.example", token=TOKEN, transport=transport)) as client:
        yield client


def ingest(polar: Polar, *events: dict[str, Any]) -> httpx.Response:
    """Ingest one batch."""
    return ask(polar, "POST", INGEST, json={"events": events})


def event(**fields: Any) -> dict[str, Any]:
    """Return an event that credits ten units; ``fields`` override its fields, None leaves one out."""
    whole = {"name": "api_usage", "customer_id": CUSTOMER, "metadata": {"units": -10}, **fields}
    return {name: value for name, value in whole.items() if value is not None}


def without_ties(polar: Polar) -> None:
    """Give each stored event a millisecond of its own, so that every page of their list is right."""
    last = polar.stored[-1].timestamp
    for age, one in enumerate(reversed(polar.stored), start=1):
        polar.stored[-age] = replace(one, timestamp=last - timedelta(milliseconds=age))
