"""The storefront asks what a customer has left: over HTTP, of the stand-in for Polar and a real ledger."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from redis import Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import customers
from app.api.application import Api
from app.demo.polar import Polar, create_app
from app.demo.polar.product_models import MeteredPrice, PricedMeter
from tests.support.builders import grant_of, some_id
from tests.support.polar_standin import CUSTOMER, event, ingest, organization
from tests.support.real_stores import accept, outcome, plan_of
from tests.support.receivers import settings_for
from tests.support.servers import running
from workers.core.usage_events import usage_event
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

TOKEN = "api-token-of-the-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
STRANGER = "0b2f8d2b-22cc-4f69-9af4-c55248621fca"


class Counted:
    """An application that counts its requests by path, and can be away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.paths: Counter[str] = Counter()
        self.is_away = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.paths[scope["path"]] += 1
            if self.is_away:
                await send({"type": "http.response.start", "status": 503, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)


class Shop:
    """A storefront with its API, and Polar behind it."""

    def __init__(self, polar: Polar, door: Counted, url: str) -> None:
        self.polar = polar
        self.door = door
        self._url = url

    def ask(self, path: str) -> httpx.Response:
        return httpx.get(f"{self._url}/v1/customers/{path}/credits", headers=HEADERS, timeout=30)

    def meters(self, path: str = CUSTOMER) -> Any:
        answer = self.ask(path)
        assert answer.status_code == 200, answer.text
        return answer.json()["meters"]


@pytest.fixture
def requests_per_minute() -> int:
    return 300


@pytest.fixture
def shop(redis: Redis, redis_url: str, requests_per_minute: int) -> Iterator[Shop]:
    polar = organization()
    door = Counted(create_app(polar))
    with running(door) as polar_url:
        settings = settings_for(
            redis_url,
            CREDITS_API_TOKEN=TOKEN,
            POLAR_ACCESS_TOKEN=polar.token,
            POLAR_SERVER=polar_url,
            CREDITS_POLAR_REQUESTS_PER_MINUTE=str(requests_per_minute),
        )
        with running(Api(settings)) as url:
            yield Shop(polar, door, url)


@pytest.fixture
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customers, "_FRESH_SECONDS", -1.0)


def grant(polar: Polar, redis_url: str, store: DeliveryStore, ledger: Ledger, units: int) -> None:
    """Grant a customer credits, at Polar and in the ledger."""
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    granted = grant_of(1, units, customer_id=CUSTOMER)
    ledger.claim([(leased.id, plan_of(granted))])
    assert ingest(polar, usage_event(granted)).status_code == 200
    ledger.settle([granted], [replace(outcome(leased), relies_on=(granted.subject,))])


def test_a_balance_is_live_and_stands_beside_what_was_granted(
    shop: Shop, redis_url: str, store: DeliveryStore, ledger: Ledger, never_fresh: None
) -> None:
    grant(shop.polar, redis_url, store, ledger, 100)
    (before,) = [shop.meters()["api_usage"]]
    assert (before["balance"], before["granted"], before["taken_back"]) == (100, 100, 0)
    assert before["source"] == "live"
    ingest(shop.polar, event(metadata={"units": 30}))
    assert shop.meters()["api_usage"]["balance"] == 70


def test_a_customer_is_found_by_both_ids(shop: Shop) -> None:
    for path in (CUSTOMER, "external/user_42", CUSTOMER.upper()):
        told = shop.ask(path).json()
        assert (told["customer_id"], told["external_id"]) == (CUSTOMER, "user_42")


def test_a_meter_that_a_product_prices_shows_polars_own_number(
    shop: Shop, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    grant(shop.polar, redis_url, store, ledger, 100)
    meter = shop.polar.meters["api_usage"]
    product = shop.polar.add_product(name="Metered")
    priced = PricedMeter(id=meter.id, name=meter.name)
    product.prices.append(MeteredPrice(product_id=product.id, meter_id=meter.id, meter=priced))
    told = shop.meters()["api_usage"]
    assert (told["balance"], told["source"]) == (100, "polar")


def test_credits_on_a_meter_that_polar_lacks_have_no_balance(
    shop: Shop, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    grant(shop.polar, redis_url, store, ledger, 100)
    shop.polar.meters.clear()
    told = shop.meters()["api_usage"]
    assert (told["balance"], told["granted"], told["source"]) == (None, 100, "polar")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (STRANGER, 404),
        ("external/nobody", 404),
        ("nonsense", 400),
        (CUSTOMER[:-1] + "_", 400),
        ("external/" + "x" * 201, 400),
        ("external/%FF%FE", 404),
        ("external/..%2F..", 404),
        ("external/%00", 400),
    ],
)
def test_who_cannot_be_found_is_no_error_of_ours(shop: Shop, path: str, status: int) -> None:
    answer = shop.ask(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "detail"}


def test_many_who_ask_for_one_customer_share_a_reading(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customers, "_FRESH_SECONDS", 3600.0)
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: shop.ask(CUSTOMER).status_code, range(60)))
    assert set(answers) == {200}
    assert shop.door.paths[f"/v1/customers/{CUSTOMER}/state"] == 1


def test_while_polar_is_away_the_last_answer_is_given_again(shop: Shop, never_fresh: None) -> None:
    before = shop.ask(CUSTOMER).json()
    shop.door.is_away = True
    assert shop.ask(CUSTOMER).json() == before
    answer = shop.ask("external/user_42")
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("requests_per_minute", [20])
def test_many_customers_never_spend_more_than_our_share(
    shop: Shop, redis: Redis, requests_per_minute: int
) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(30) as pool:
        answers = Counter(pool.map(lambda n: shop.ask(some_id(n)).status_code, range(300)))
    minutes = (time.monotonic() - began) / 60
    assert set(answers) == {404, 503}
    assert shop.door.paths.total() <= requests_per_minute * (minutes + 1)
    assert not redis.exists(keys.PAUSE)  # a worker may still ask: the last of our share is left to it


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"id": 1}', json.dumps({"id": CUSTOMER}).encode()])
def test_whatever_polar_answers_is_no_500(shop: Shop, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    async def odd(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    monkeypatch.setattr(shop.door, "_app", odd)
    assert shop.ask(CUSTOMER).status_code == 503
