"""The storefront asks whether an order was credited: over HTTP, of a real ledger."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from redis import Redis

from app.api.application import Api
from app.api.operations import OPERATIONS, Operation
from app.api.server import api_config
from app.receiver import connections
from tests.support.builders import some_id
from tests.support.processes import eventually
from tests.support.real_stores import accept, outcome, settled_story
from tests.support.receivers import settings_for
from tests.support.servers import running, running_as
from workers.core.delivery import Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.timings import Timings

TOKEN = "api-token-of-the-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
ORDER = some_id(1)


@pytest.fixture(scope="module")
def served(redis_url: str) -> Iterator[tuple[Api, str]]:
    """Yield an API that all tests share, and its base URL."""
    api = Api(
        settings_for(redis_url, CREDITS_API_TOKEN=TOKEN, POLAR_ACCESS_TOKEN="polar_oat_of-the-tests"),
        Timings(wrong_token_seconds=0.01),
    )
    with running(api) as url:
        yield api, url


@pytest.fixture
def api(served: tuple[Api, str], redis: Redis) -> str:
    """Return the base URL of the API, its Redis emptied."""
    eventually(lambda: redis.pubsub_numsub(keys.SETTLED)[0][1] == 1)
    return served[1]


def order(url: str, wait: int = 0, order_id: str = ORDER) -> Any:
    answer = httpx.get(f"{url}/v1/orders/{order_id}", params={"wait": wait}, headers=HEADERS, timeout=30)
    assert answer.status_code == 200
    return answer.json()


def test_an_order_that_never_came_is_unknown(api: str) -> None:
    assert order(api) == {
        "order_id": ORDER,
        "status": "unknown",
        "credits": {},
        "taken_back": {},
        "upcoming": [],
        "reason": None,
        "granted_at": None,
    }


def test_a_settled_order_shows_its_credits_as_numbers(
    api: str, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger)
    told = order(api)
    assert (told["status"], told["credits"], told["reason"]) == ("granted", {"api_usage": 10}, None)
    assert told["granted_at"].endswith("Z")


@pytest.mark.parametrize("status", [Status.SKIPPED, Status.FAILED])
def test_an_order_without_credits_says_why(
    api: str, redis_url: str, store: DeliveryStore, ledger: Ledger, status: Status
) -> None:
    accept(redis_url, "msg-1")
    (leased,) = store.lease(10).deliveries
    ledger.settle([], [outcome(leased, status, "why")])
    told = order(api)
    assert (told["status"], told["reason"], told["credits"]) == (status, "why", {})


def test_who_waits_is_answered_when_the_order_is_settled(
    api: str, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    with ThreadPoolExecutor(20) as pool:
        begin = time.monotonic()
        waiting = [pool.submit(order, api, 20) for _ in range(20)]
        time.sleep(0.3)
        assert not any(one.done() for one in waiting)
        settled_story(redis_url, store, ledger)
        assert {one.result()["status"] for one in waiting} == {"granted"}
    assert time.monotonic() - begin < 15


def test_a_skipped_order_wakes_who_waits(
    api: str, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(order, api, 20)
        time.sleep(0.2)
        accept(redis_url, "msg-1")
        (leased,) = store.lease(10).deliveries
        ledger.settle([], [outcome(leased, Status.SKIPPED, "why")])
        assert waiting.result(timeout=15)["status"] == "skipped"


def test_a_wait_that_ends_tells_how_it_stands(api: str) -> None:
    begin = time.monotonic()
    assert order(api, 1)["status"] == "unknown"
    assert 1 <= time.monotonic() - begin < 15


def test_no_command_is_sent_while_an_order_is_waited_for(
    api: str, served: tuple[Api, str], redis: Redis
) -> None:
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(order, api, 4) for _ in range(5)]
        eventually(lambda: served[0].waiting == 5)
        time.sleep(0.5)
        before = redis.info("stats")["total_commands_processed"]
        time.sleep(1)
        assert redis.info("stats")["total_commands_processed"] - before <= 3  # two of these are our own
        assert {one.result()["status"] for one in waiting} == {"unknown"}


def test_a_settlement_that_was_missed_while_the_connection_was_lost_wakes_all_the_same(
    api: str, redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(order, api, 20)
        time.sleep(0.2)
        begin = time.monotonic()
        redis.client_kill_filter(_type="pubsub")
        settled_story(redis_url, store, ledger)
        assert waiting.result()["status"] == "granted"
        assert time.monotonic() - begin < 15


def test_a_client_that_goes_away_frees_its_place(api: str, served: tuple[Api, str]) -> None:
    with httpx.Client(headers=HEADERS, timeout=0.5) as client, pytest.raises(httpx.ReadTimeout):
        client.get(f"{api}/v1/orders/{ORDER}?wait=20")
    eventually(lambda: served[0].waiting == 0)


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/v1/orders/nonsense", 400, "invalid_request"),
        (f"/v1/orders/{ORDER[:-1]}_", 400, "invalid_request"),
        (f"/v1/orders/{ORDER}?wait=21", 400, "invalid_request"),
        (f"/v1/orders/{ORDER}?wait=-1", 400, "invalid_request"),
        (f"/v1/orders/{ORDER}?wait=1e1", 400, "invalid_request"),
        (f"/v1/orders/{ORDER}?wait=1e309", 400, "invalid_request"),
        (f"/v1/orders/{ORDER}?wait=NaN", 400, "invalid_request"),
        (f"/v1/orders/{ORDER}?wait=", 400, "invalid_request"),
        (f"/v1/orders/{ORDER}?wait=1&wait=1", 400, "invalid_request"),
        (f"/v1/orders/{ORDER}?wait=%D9%A1", 400, "invalid_request"),  # an Arabic digit
        (f"/v1/orders/{ORDER}/", 404, "not_found"),
        ("/v1/orders/", 404, "not_found"),
        ("/v1/nothing", 404, "not_found"),
        ("/", 404, "not_found"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(api: str, path: str, status: int, error: str) -> None:
    answer = httpx.get(api + path, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["detail"]


def test_another_method_is_refused(api: str) -> None:
    answer = httpx.post(f"{api}/v1/orders/{ORDER}", headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_nothing_is_told_without_a_token(api: str, operation: Operation) -> None:
    for headers in ({}, {"Authorization": TOKEN}, {"Authorization": "Bearer wrong"}):
        answer = httpx.request(operation.method, f"{api}{operation.path}", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_description_and_the_probes_need_no_token(api: str) -> None:
    assert httpx.get(f"{api}/v1/openapi.json").json()["openapi"] == "3.1.0"
    assert httpx.get(f"{api}/livez").status_code == 200
    assert httpx.get(f"{api}/readyz").status_code == 200


def test_an_answer_may_be_held_longer_than_a_request_may_take(
    redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_REQUEST_SECONDS", 0.3)
    settings = settings_for(redis_url, CREDITS_API_TOKEN=TOKEN, POLAR_ACCESS_TOKEN="polar_oat_of-the-tests")
    with running_as(api_config(Api(settings))) as url:
        assert order(url, 1)["status"] == "unknown"
