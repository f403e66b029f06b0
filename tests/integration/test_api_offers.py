"""The storefront gives offers: over HTTP, with a worker, the stand-in for Polar and a real ledger."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from redis import Redis

from app.api.application import Api
from app.demo.polar import Polar, create_app
from config.rules import Rules
from tests.support.builders import offer, offers_of, some_id
from tests.support.polar_standin import CUSTOMER, ask, organization
from tests.support.polar_standin import TOKEN as POLAR_TOKEN
from tests.support.real_stores import RETAIN
from tests.support.receivers import settings_for
from tests.support.servers import running
from workers.core.delivery import Lease, Status
from workers.pipeline.customers import OfferCustomers
from workers.pipeline.granter import Granter
from workers.polar.client import Polar as Client
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

TOKEN = "api-token-of-the-tests"
ITSELF = {"customer_id": CUSTOMER}
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
RULES = offers_of(
    offer("referral", {"api_usage": 200}, most_per_customer=2),
    offer("welcome", {"api_usage": 5}, once_per="customer"),
    offer("summer", {"api_usage": 1}, until="2026-09-01T00:00:00Z"),
)


class Shop:
    """A storefront, its API, and a worker that works whenever something is due."""

    def __init__(self, redis: Redis, polar: Polar, client: Client, url: str) -> None:
        self.polar = polar
        self.rules: Rules = RULES
        self._url = url
        throttle = Throttle(redis, requests_per_minute=10_000)
        self.store, self.ledger = DeliveryStore(redis), Ledger(redis, retain=RETAIN)
        self.granter = Granter(
            deliveries=self.store,
            ledger=self.ledger,
            throttle=throttle,
            polar=client,
            customers=OfferCustomers(client, throttle),
            rules=lambda: self.rules,
        )
        self._stopped = threading.Event()
        self._worker = threading.Thread(target=self._work)
        self.is_working = True

    def __enter__(self) -> "Shop":
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._worker.join()

    def _work(self) -> None:
        while not self._stopped.wait(0.01):
            if self.is_working:
                self.granter.run(self.store.lease(100))

    def post(
        self,
        name: str = "referral",
        key: str = "k1",
        wait: int = 10,
        *,
        external_customer_id: str = "",
        customer: Mapping[str, str] = ITSELF,
    ) -> httpx.Response:
        given = {"external_customer_id": external_customer_id} if external_customer_id else customer
        path = f"{self._url}/v1/offers/{name}"
        return httpx.post(
            path, params={"wait": wait}, json={"key": key, **given}, headers=HEADERS, timeout=30
        )

    @property
    def balance(self) -> float:
        path = f"/v1/customer-meters/?customer_id={CUSTOMER}"
        rows = ask(self.polar, "GET", path).json()["items"]
        return float(sum(row["balance"] for row in rows))


@pytest.fixture
def shop(redis: Redis, redis_url: str) -> Iterator[Shop]:
    polar = organization()
    with running(create_app(polar)) as polar_url:
        settings = settings_for(
            redis_url, CREDITS_API_TOKEN=TOKEN, POLAR_ACCESS_TOKEN=POLAR_TOKEN, POLAR_SERVER=polar_url
        )
        with (
            running(Api(settings)) as url,
            closing(Client(url=polar_url, token=POLAR_TOKEN)) as client,
            Shop(redis, polar, client, url) as shop,
        ):
            yield shop


def test_an_offer_is_given_once_under_a_key_however_its_customer_is_named(shop: Shop) -> None:
    first = shop.post()
    assert (first.status_code, first.json()) == (
        201,
        {"delivery": "offer-referral:k1", "status": "granted", "credits": {"api_usage": 200}, "reason": None},
    )
    for again in (shop.post(), shop.post(external_customer_id="user_42")):
        assert (again.status_code, again.json()["credits"]) == (200, {"api_usage": 200})
    assert shop.balance == 200


def test_a_key_that_was_used_for_another_customer_is_a_conflict(shop: Shop) -> None:
    other = str(shop.polar.add_customer(email="other@example.com", external_id="user_43").id)
    assert shop.post().status_code == 201
    for customer in (
        {"customer_id": other},
        {"external_customer_id": "user_43"},
        {"external_customer_id": "?"},
    ):
        answer = shop.post(customer=customer)
        assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
    assert shop.post(external_customer_id="user_42").status_code == 200


def test_no_customer_gets_more_than_the_most(shop: Shop) -> None:
    assert [shop.post(key=key).status_code for key in ("k1", "k2", "k3", "k1")] == [201, 201, 422, 200]
    assert "2 times" in shop.post(key="k3").json()["detail"]
    assert shop.balance == 400


def test_an_offer_once_per_customer_is_given_once_whatever_the_key(shop: Shop) -> None:
    assert [shop.post("welcome", key).status_code for key in ("k1", "k2", "k1")] == [201, 200, 200]
    assert shop.post("welcome", "k2").json()["credits"] == {"api_usage": 5}
    assert shop.balance == 5


def test_without_a_worker_the_request_is_stored_and_given_later(shop: Shop) -> None:
    shop.is_working = False
    waiting = shop.post(wait=0)
    assert (waiting.status_code, waiting.json()["status"], waiting.json()["credits"]) == (202, "waiting", {})
    assert shop.post(wait=0, external_customer_id="user_42").status_code == 202
    assert shop.post(wait=0, external_customer_id="nobody").status_code == 409
    shop.is_working = True
    assert shop.post().status_code == 200
    assert shop.balance == 200


def test_a_customer_whom_polar_does_not_know_can_be_given_it_once_it_exists(shop: Shop) -> None:
    for customer in ({"external_customer_id": "user_99"}, {"customer_id": some_id(7)}):
        answer = shop.post(customer=customer)
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    shop.polar.add_customer(email="new@example.com", external_id="user_99")
    assert shop.post(external_customer_id="user_99").status_code == 201


def test_outside_its_window_an_offer_gives_nothing(shop: Shop) -> None:
    answer = shop.post("summer")
    assert (answer.status_code, answer.json()["error"]) == (422, "not_offered")
    assert answer.json()["detail"].endswith("the offer ended at 2026-09-01T00:00:00Z")


def test_an_unknown_offer_stores_nothing_where_the_offers_are_known(shop: Shop, redis: Redis) -> None:
    assert shop.post("refferal", "k9").status_code == 404  # a worker has decided
    redis.hset(keys.RULES, "offers", "referral welcome")
    assert shop.post("refferral", "k9").status_code == 404
    assert not redis.exists(keys.delivery("offer-refferral:k9"))
    assert shop.post().status_code == 201


def test_a_refused_request_may_be_made_again_when_the_rules_offer_it(shop: Shop) -> None:
    assert shop.post("spring").status_code == 404
    shop.rules = offers_of(offer("spring", {"api_usage": 3}))
    assert shop.post("spring").status_code == 201
    assert shop.balance == 3


def test_a_place_is_returned_when_polar_refuses_the_grant(
    shop: Shop, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = shop.polar.unknown_customers
    monkeypatch.setattr(
        shop.polar, "unknown_customers", lambda batch: dict.fromkeys(range(len(batch)), CUSTOMER)
    )
    assert shop.post(key="k1").json()["error"] == "not_found"
    assert redis.hget(keys.OFFERED + CUSTOMER, "referral") == b"0"
    monkeypatch.setattr(shop.polar, "unknown_customers", unknown)
    assert [shop.post(key=key).status_code for key in ("k2", "k3", "k4")] == [201, 201, 422]
    replayed = Lease(deliveries=shop.store.reopen(["offer-referral:k1"], by_name=True))
    (failed,) = shop.granter.run(replayed)
    assert (failed.status, failed.refusal) == (Status.SKIPPED, "cap")
    assert shop.balance == 400


def test_of_many_at_once_each_key_gives_once_and_the_customer_no_more_than_the_most(shop: Shop) -> None:
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda n: insistent(shop, f"k{n % 8}"), range(48)))
    assert Counter(answers)[201] <= 2  # fewer, if an answer came too late
    assert set(answers) <= {200, 201, 422}
    assert shop.balance == 400


def insistent(shop: Shop, key: str) -> int:
    """Send a request again until Redis has answered in time; return the status."""
    while (answer := shop.post(key=key, wait=20)).status_code == 503:
        pass
    return answer.status_code


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"key":"k"}',
        b'{"key":"a:b","customer_id":"%s"}' % CUSTOMER.encode(),
        b'{"key":"k","customer_id":"x"}',
        b'{"key":"k","customer_id":1}',
        b'{"key":"k","external_customer_id":""}',
        b'{"key":"k","external_customer_id":"a","customer_id":"%s"}' % CUSTOMER.encode(),
        b'{"key":"k","customer_id":"%s","units":1000}' % CUSTOMER.encode(),
        b'{"key":"k","external_customer_id":"\\ud800"}',
        b'{"key":"k","external_customer_id":"%s"}' % (b"x" * 5000),
        b" " * 2_000_000,
    ],
)
def test_a_body_that_cannot_be_used_is_refused_in_words(shop: Shop, content: bytes) -> None:
    url = shop._url
    answer = httpx.post(f"{url}/v1/offers/referral", content=content, headers=HEADERS, timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["a:b", "x" * 65, "%00", "..", "a%20b"])
def test_a_name_that_no_offer_can_have_is_not_found(shop: Shop, name: str) -> None:
    assert shop.post(name).status_code == 404
