"""The desk in a real browser: light and dark, on a phone, by keyboard, without JavaScript, for everybody."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from redis import Redis

from app.desk.pages import PAGES
from config.rules import load_rules
from tests.support.builders import CUSTOMER as BUYER
from tests.support.builders import order_webhook, some_id
from tests.support.chromium import NARROW, WIDE, Scheme, Window, chromium, window
from tests.support.debian import require_programs
from tests.support.desk import DESK_TOKEN, DeskService, desk_at
from tests.support.desk_story import RULES, tell_story
from tests.support.fake_polar import FakePolar
from tests.support.polar_standin import CUSTOMER
from tests.support.real_stores import RETAIN, accept
from workers.embedded.server import EmbeddedRedis
from workers.operations import history
from workers.pipeline.granter import Granter
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

pytestmark = pytest.mark.heavy  # a whole browser

COMPLAINT, COMPLAINED = "msg-complaint", 4711

OPENED = [
    "login",
    "overview",
    "deliveries",
    "deliveries?status=failed",
    "deliveries?type=credits.offer",
    "deliveries?order=7",
    "delivery?id=msg-0001",
    "delivery?id=msg-hostile",
    "delivery?id=msg-unknown",
    "delivery?id=msg-slack",
    "delivery?id=msg-waiting",
    "delivery?id=nothing",
    "customers",
    f"customer?id={CUSTOMER}",
    f"customer?id={some_id(77)}",
    "rules",
    "rules?sample=subscription_create",
    "rules?delivery=msg-hostile",
    "replay?id=msg-unknown",
    "replay?status=failed",
    "dismiss?id=msg-unknown",
    "grant",
    "actions",
]


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Yield a client of a Redis that no other test empties."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as embedded, Redis.from_url(embedded.url) as client:
        yield client


@pytest.fixture(scope="module")
def service(own_redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskService]:
    require_programs("chromium")
    with desk_at(url_of(own_redis), tmp_path_factory.mktemp("desk"), RULES) as served:
        tell_story(own_redis, served, orders=20)
        accept(url_of(own_redis), COMPLAINT, body=order_webhook(id=some_id(COMPLAINED)))
        yield served


@pytest.fixture(scope="module")
def browser(service: DeskService) -> Iterator[Browser]:  # the story is told first: the browser has a loop
    with chromium() as launched:
        yield launched


def url_of(redis: Redis) -> str:
    return f"unix://{redis.connection_pool.connection_kwargs['path']}"


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Scheme:
    found: Scheme = request.param
    return found


@pytest.fixture(params=[WIDE, NARROW], ids=["1280", "390"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    width, height = request.param
    return width, height


def test_every_page_is_opened_by_these_tests() -> None:
    opened = {page.partition("?")[0] for page in OPENED}
    assert {name for name, page in PAGES.items() if page.get} <= opened


def test_every_page_fits_and_breaks_no_policy(
    browser: Browser, service: DeskService, scheme: Scheme, size: tuple[int, int]
) -> None:
    with window(browser, service, scheme=scheme, size=size) as opened:
        opened.log_in()
        for page in OPENED:
            opened.open(page)
            assert not opened.overflows, page
            assert opened.page.title(), page
        offences = [one for one in opened.offences if "status of 40" not in one]  # the pages of errors
        assert offences == []


@pytest.mark.parametrize(("scheme", "size"), [("light", NARROW), ("dark", WIDE)])  # it takes long
def test_axe_finds_nothing_that_keeps_people_from_using_a_page(
    browser: Browser, service: DeskService, scheme: Scheme, size: tuple[int, int]
) -> None:
    found: list[str] = []
    with window(browser, service, scheme=scheme, size=size) as opened:
        opened.log_in()
        for page in OPENED:
            opened.open(page)
            for summary in opened.page.query_selector_all("details > summary"):
                summary.click()
            violations = Axe().run(opened.page).response["violations"]
            found += [
                f"{page}: {one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary']}"
                for one in violations
            ]
    assert found == []


def test_everything_works_without_javascript(browser: Browser, service: DeskService) -> None:
    with window(browser, service, script=False) as opened:
        opened.log_in()
        assert opened.page.url.endswith("/desk/overview")
        opened.page.click("text=See what failed")
        assert "status=failed" in opened.page.url
        opened.open("delivery?id=msg-0001")
        opened.page.click("text=Show the body")
        assert "net_amount" in opened.page.inner_text("pre")
        opened.page.click("text=Log out")
        assert opened.page.url.endswith("/desk/login")
        assert opened.offences == []


def test_everything_works_behind_the_prefix_of_a_proxy(
    browser: Browser, own_redis: Redis, tmp_path: Path
) -> None:
    with (
        desk_at(url_of(own_redis), tmp_path, RULES, prefix="/ops/credits") as service,
        window(browser, service) as opened,
    ):
        opened.log_in()
        for name in ("Deliveries", "Customers", "Rules", "Grant", "Actions", "Overview"):
            opened.page.click(f"nav >> text={name}")
            assert opened.page.url == f"{service.url}/desk/{name.lower()}"
            assert opened.page.inner_text("h1")
        opened.page.click("text=See what failed")
        opened.page.click("td a >> nth=0")
        opened.page.click("text=Replay")
        opened.page.click("text=Cancel")
        opened.page.click("text=Log out")
        assert opened.page.url == f"{service.url}/desk/login"
        assert opened.offences == []


def test_a_long_history_is_read_page_by_page(
    browser: Browser, service: DeskService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_MOST_FACTS", 5)
    with window(browser, service, size=NARROW) as opened:
        opened.log_in()
        opened.open(f"customer?id={CUSTOMER}")
        assert "only the newest" in opened.page.inner_text("main")
        turned = 0
        while opened.page.query_selector("#earlier"):
            assert Axe().run(opened.page).response["violations"] == []
            assert not opened.overflows
            opened.page.click("#earlier")
            turned += 1
        assert turned >= 3
        assert opened.offences == []


class Keyboard:
    """A person without a mouse, who sees where the focus is."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.presses = 0

    def go_to(self, name: str) -> None:
        """Press Tab until what is focused has this name, and its focus can be seen."""
        for _ in range(200):
            self._page.keyboard.press("Tab")
            self.presses += 1
            text, outline = self._page.evaluate(_FOCUSED)
            if name in text:
                assert outline != "none", name
                return
        raise AssertionError(f"the focus never comes to {name!r}")

    def press(self, key: str = "Enter") -> None:
        """Press a key, and wait for the page to which it leads."""
        with self._page.expect_navigation():
            self._page.keyboard.press(key)
        self.presses += 1

    def write(self, text: str) -> None:
        self._page.keyboard.type(text)


_FOCUSED = """() => {
    const one = document.activeElement;
    const label = one.labels && one.labels.length ? one.labels[0].textContent : "";
    return [label + " " + one.textContent, getComputedStyle(one).outlineStyle];
}"""


def test_the_story_from_a_complaint_to_the_credit_by_keyboard_alone(
    browser: Browser, service: DeskService, own_redis: Redis
) -> None:
    """A customer complains: find them, see why, replay, and see the credit."""
    strangers = {BUYER}
    rules = load_rules(service.rules_path)
    worker = Granter(
        deliveries=DeliveryStore(own_redis),
        ledger=Ledger(own_redis, retain=RETAIN),
        throttle=Throttle(own_redis),
        polar=FakePolar(known=lambda customer: customer not in strangers),
        rules=lambda: rules,
    )
    worker.drain()
    strangers.clear()  # the cause is fixed
    with window(browser, service) as opened:
        opened.open("login")
        keyboard = Keyboard(opened.page)
        keyboard.go_to("Your name")
        keyboard.write("Ada")
        keyboard.go_to("Token")
        keyboard.write(DESK_TOKEN)
        keyboard.press()
        keyboard.go_to("Customers")
        keyboard.press()
        keyboard.go_to("Who")
        keyboard.write(some_id(COMPLAINED))
        keyboard.press()
        keyboard.go_to("order.paid")
        keyboard.press()
        assert "Customer does not exist" in opened.page.inner_text("main")
        keyboard.go_to("Replay")
        keyboard.press()
        assert "10000 api_usage" in opened.page.inner_text("main")
        keyboard.go_to("Replay it")
        keyboard.press()
        worker.drain()
        opened.page.reload()
        assert "granted" in opened.page.inner_text("h1")
        assert keyboard.presses < 80
        assert opened.offences == []


@pytest.fixture
def evil(browser: Browser, service: DeskService) -> Iterator[Window]:
    """Yield a window of an operator who has logged in."""
    with window(browser, service) as opened:
        opened.log_in()
        yield opened


def test_a_page_elsewhere_can_neither_post_nor_frame_the_desk(evil: Window) -> None:
    desk = f"{evil.service.url}/desk"
    show_elsewhere(
        evil,
        f'''<form id="f" method="post" action="{desk}/logout"><input name="form_token" value="x"></form>
        <iframe src="{desk}/overview"></iframe>''',
    )
    assert not any("Deliveries" in frame.content() for frame in evil.page.frames)
    with evil.page.expect_navigation():
        evil.page.evaluate("document.getElementById('f').submit()")
    evil.open("overview")
    assert evil.page.url.endswith("/desk/overview")


def test_a_link_from_elsewhere_leads_an_operator_to_its_page(evil: Window) -> None:
    show_elsewhere(evil, f'<a href="{evil.service.url}/desk/delivery?id=msg-0001">look</a>')
    evil.page.click("text=look")
    evil.page.wait_for_selector("text=Its life")
    assert evil.page.url.endswith("/desk/delivery?id=msg-0001")


def show_elsewhere(opened: Window, html: str) -> None:
    """Open a page of another site."""
    opened.page.route(
        "http://elsewhere.example/**", lambda route: route.fulfill(body=html, content_type="text/html")
    )
    opened.page.goto("http://elsewhere.example/")
