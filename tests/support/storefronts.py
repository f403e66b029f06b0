"""A storefront with its API: the whole service as real processes, and the stand-in for Polar behind it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from app.demo.polar import Polar, create_app
from tests.support.builders import CUSTOMER, ORDER, order_webhook, some_id
from tests.support.processes import Credits, Running, credits_in, eventually, post, some_polar
from tests.support.servers import running

API_TOKEN = f"api_{uuid4().hex}"
HEADERS = {"Authorization": f"Bearer {API_TOKEN}"}

OTHER_CUSTOMER = some_id(77)
EXTERNAL_ID, OTHER_EXTERNAL_ID = "shopper-1", "shopper-2"
SKIPPED_ORDER = some_id(78)
_OTHER_PRODUCT = some_id(79)

RULES = """\
version: 1
meters: {api_usage: {}}
rules:
  - {name: pack, products: ["289208de-404a-4370-a0b6-c0433bb956cc"], grant: {api_usage: 100}}
offers:
  - {name: referral, grant: {api_usage: 200}}
  - {name: welcome, grant: {api_usage: 25}, once_per: customer}
  - {name: summer, grant: {api_usage: 1}, until: 2026-09-01T00:00:00Z}
"""


@dataclass(frozen=True, kw_only=True)
class Storefront:
    """The running service as a storefront sees it."""

    url: str
    polar: Polar
    credits: Credits
    up: Running

    def get(self, path: str, **params: Any) -> httpx.Response:
        """Ask the API with the right token."""
        return httpx.get(f"{self.url}{path}", params=params, headers=HEADERS, timeout=30)

    def give(self, offer: str, key: str, **body: Any) -> httpx.Response:
        """Request an offer with the right token."""
        path = f"{self.url}/v1/offers/{offer}"
        return httpx.post(path, json={"key": key, **body}, headers=HEADERS, timeout=30)

    def await_order(self, order_id: str) -> None:
        """Return once an order is settled."""
        answer = self.get(f"/v1/orders/{order_id}", wait=20)
        assert answer.json()["status"] in {"granted", "skipped"}, answer.text


@contextmanager
def storefront(folder: Path, redis_url: str, **settings: str) -> Iterator[Storefront]:
    """Run the service and the stand-in for Polar while the block runs.

    ORDER is credited, SKIPPED_ORDER is not, and Polar has two customers.
    """
    polar = some_polar()
    polar.customers.clear()
    polar.add_customer(CUSTOMER, external_id=EXTERNAL_ID)
    polar.add_customer(OTHER_CUSTOMER, external_id=OTHER_EXTERNAL_ID)
    usual = {
        "REDIS_URL": redis_url,
        "CREDITS_API_TOKEN": API_TOKEN,
        "CREDITS_API_PORT": "0",
        "CREDITS_POLAR_REQUESTS_PER_MINUTE": "100000",
    }
    with running(create_app(polar)) as polar_url:
        credits_ = credits_in(folder, polar_url, rules=RULES, **(usual | settings))
        with credits_.running("up") as up:
            receiver = httpx.Client(base_url=up.url())
            shop = Storefront(url=api_url(up), polar=polar, credits=credits_, up=up)
            with receiver:
                post(receiver, order_webhook(id=ORDER))
                post(receiver, order_webhook(id=SKIPPED_ORDER, product_id=_OTHER_PRODUCT))
            for order_id in (ORDER, SKIPPED_ORDER):
                shop.await_order(order_id)
            yield shop
        assert API_TOKEN not in up.said


def api_url(up: Running) -> str:
    """Return the base URL of the API and the desk once they can answer."""
    url = eventually(lambda: _logged_url(up))
    eventually(lambda: _is_ready(url))
    return url


def _logged_url(up: Running) -> str:
    lines = up.said.rpartition("\n")[0].splitlines()
    events: list[Mapping[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
    urls = {str(one["event"]): str(one.get("url", "")) for one in events}
    return urls.get("listening for the storefront") or urls.get("the desk is open", "").removesuffix("/desk")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=30).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
