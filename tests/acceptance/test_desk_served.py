"""``credits up`` serves the desk, and its worker does what an operator confirms there."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.demo.polar import Polar, create_app
from tests.support.builders import order_webhook, some_id
from tests.support.desk import DESK_TOKEN, Browser
from tests.support.processes import Running, credits_in, eventually, post, some_polar
from tests.support.servers import running
from tests.support.storefronts import api_url

NEWCOMER = some_id(9)


@pytest.fixture
def polar() -> Polar:
    return some_polar()


@pytest.fixture
def up(polar: Polar, tmp_path: Path) -> Iterator[Running]:
    """Yield the whole service, with its embedded Redis, its worker and a desk."""
    with running(create_app(polar)) as polar_url:
        settings = {"CREDITS_DESK_TOKEN": DESK_TOKEN, "CREDITS_API_PORT": "0"}
        with credits_in(tmp_path, polar_url, **settings).running("up") as started:
            yield started
        assert DESK_TOKEN not in started.said


@pytest.fixture
def browser(up: Running) -> Iterator[Browser]:
    with httpx.Client(base_url=api_url(up), timeout=30) as client:
        yield Browser(client=client)


def test_an_operator_sees_why_an_order_failed_and_the_worker_replays_it(
    up: Running, browser: Browser, polar: Polar
) -> None:
    with httpx.Client(base_url=up.url()) as receiver:
        delivery = post(receiver, order_webhook(id=some_id(1), customer_id=NEWCOMER))
    browser.log_in("Ada")
    assert (browser.status, browser.url) == (200, "overview")
    assert "Workers ok 1 alive" in browser.text
    eventually(lambda: "failed" in browser.get(f"delivery?id={delivery}").partition("</h1>")[0])
    assert "Customer not found" in browser.text
    polar.add_customer(NEWCOMER)  # the cause is fixed
    browser.get(f"replay?id={delivery}")
    browser.post("replay", {"plan": browser.hidden("plan")})
    eventually(lambda: "granted" in browser.get(f"delivery?id={delivery}").partition("</h1>")[0])
    assert polar.balance(NEWCOMER, "api_usage") == 10
    browser.get("actions")
    assert f"replay {delivery}" in browser.text
