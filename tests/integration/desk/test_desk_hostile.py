"""Whatever strangers and merchants write, a page shows it as text; whatever is asked, no answer is a 500."""

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from redis import Redis

from app.desk.pages import PAGES
from tests.support.builders import order_webhook, some_id
from tests.support.desk import Browser, DeskService, desk_at
from tests.support.desk_story import HOSTILE, RULES, tell_story
from tests.support.polar_standin import CUSTOMER
from workers.store import keys
from workers.store.desk import DeskStore

TEXTS = [
    HOSTILE,
    "'\"><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\u202e\u0000\r\nSet-Cookie: x=1",
    "../../../etc/passwd",
    "%2e%2e%2f%00",
    "\ud800".encode("utf-8", "replace").decode(),
    "a" * 3000,
    "1e400",
    "-0",
    "\u0661\u0662",
    "9" * 300,
]
FIELDS = [
    "id",
    "status",
    "type",
    "since",
    "until",
    "order",
    "customer",
    "after",
    "sample",
    "delivery",
    "next",
    "who",
    "plan",
    "kind",
    "units",
    "meter",
    "key",
    "reason",
    "form_token",
]


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskService]:
    with desk_at(redis_url, tmp_path_factory.mktemp("desk"), RULES) as served:
        yield served


@pytest.fixture
def desk(service: DeskService, redis: Redis) -> Iterator[Browser]:
    tell_story(redis, service, orders=3)
    with service.operator(HOSTILE[:40]) as browser:
        yield browser


class Elements(HTMLParser):
    """Collects the elements of a page, and the attributes that would run something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.add(tag)
        for name, value in attrs:
            starts = (value or "").lower().lstrip().startswith(("javascript:", "data:", "vbscript:"))
            if (
                name.startswith("on")
                or name in {"style", "srcdoc"}
                or (name in {"href", "src", "action"} and starts)
            ):
                self.running.append(f"<{tag} {name}={value}>")


@lru_cache(maxsize=1000)  # many requests get the same page
def dangers(html: str) -> list[str]:
    """Return what of a page would run, or would load something that is not ours."""
    found = Elements()
    found.feed(html)
    strange = found.tags & {"script", "img", "iframe", "object", "embed", "style", "base", "template"}
    return [*sorted(strange), *found.running]


SHOWN = [
    "overview",
    "deliveries",
    "delivery?id=msg-hostile",
    "delivery?id=msg-slack",
    "delivery?id=msg-reason",
    f"customer?id={CUSTOMER}",
    "rules",
    "rules?delivery=msg-hostile",
    "replay?status=failed",
    "replay?id=msg-hostile",
    "dismiss?id=msg-reason",
    "grant?customer=%22%3E%3Cscript%3E",
    "actions",
]


def test_what_others_wrote_is_shown_as_text_on_every_page(
    desk: Browser, service: DeskService, redis: Redis
) -> None:
    plant_everywhere(redis, service)
    shown = 0
    for page in SHOWN:
        html = desk.get(page)
        assert (desk.status, dangers(html)) == (200, []), page
        shown += "&lt;script&gt;" in html
    desk.get("delivery?id=msg-hostile")
    assert dangers(desk.post("delivery", {"id": "msg-hostile"})) == []
    assert shown >= len(SHOWN) - 2  # the chart of a day, and a preview without names, show none of it
    assert {page for page, of in PAGES.items() if of.get} - {one.partition("?")[0] for one in SHOWN} == {
        "customers"
    }


def plant_everywhere(redis: Redis, service: DeskService) -> None:
    """Put hostile text wherever somebody else can put it: reasons, meters, rules, checks, actions."""
    body = order_webhook(id=some_id(9003), customer_id=CUSTOMER)
    redis.hset(
        keys.delivery("msg-reason"),
        mapping={
            "type": HOSTILE,
            "status": "failed",
            "reason": HOSTILE,
            "received_at": 1_764_000_000_000,
            "attempts": 1,
        },
    )
    redis.set(keys.body("msg-reason"), body)
    redis.zadd(keys.deliveries("failed"), {"msg-reason": 1_764_000_000_000})
    for key in redis.scan_iter(f"{keys.DAY}*"):
        redis.hset(key, f"granted_units {HOSTILE}", 5)
        redis.hset(key, f"given_by_rule {HOSTILE.replace(' ', '_')} {HOSTILE}", 5)
    redis.hset(keys.RULES, mapping={"in_force": HOSTILE, "refused": "1"})
    redis.hset(keys.ENDPOINT, mapping={"problem": HOSTILE, "detail": HOSTILE})
    DeskStore(redis).note_action(name=HOSTILE, session=HOSTILE, what=HOSTILE)
    service.rules_path.write_text(RULES + f"# {HOSTILE}\n")


def test_a_search_that_finds_nobody_shows_what_was_typed_as_text(desk: Browser) -> None:
    desk.get("customers")
    html = desk.post("customers", {"who": HOSTILE})
    assert (desk.status, dangers(html)) == (404, [])
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    "requests", [300, pytest.param(2_000, marks=[pytest.mark.heavy, pytest.mark.timeout(1200)])]
)
def test_no_request_makes_an_error_of_ours_and_nothing_comes_back_unescaped(
    service: DeskService, desk: Browser, requests: int
) -> None:
    choose = random.Random(18)  # noqa: S311 - nothing secret
    desk.get("overview")
    token = desk.form_token
    for _ in range(requests):
        request = some_request(choose, token)
        try:
            answer = desk.client.request(**request)
        except (httpx.InvalidURL, UnicodeEncodeError, ValueError):
            continue  # not even a client sends it
        assert answer.status_code < 500 or answer.status_code == 503, request
        assert "traceback" not in answer.text.lower()
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert dangers(answer.text) == [], request
        assert "x=1" not in answer.headers.get("set-cookie", "")
        if location := answer.headers.get("location"):
            assert re.match(r"[a-z/]*[a-z](\?|$)", location), request
        if "logout" in request["url"] or "login" in request["url"]:
            desk.log_in()
            token = desk.form_token or token


def some_request(choose: random.Random, token: str) -> dict[str, Any]:
    page = choose.choice([*PAGES, "login", "logout", "static/x/desk.css", "", choose.choice(TEXTS)[:50]])
    fields = {choose.choice(FIELDS): choose.choice(TEXTS) for _ in range(choose.randrange(4))}
    headers = {}
    if choose.random() < 0.3:
        name = choose.choice(
            ["Origin", "Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Referer", "Cookie", "Sec-Fetch-Site"]
        )
        headers[name] = choose.choice([one for one in TEXTS if one.isascii() and one.isprintable()])[:500]
    if choose.random() < 0.5:
        return {
            "method": choose.choice(["GET", "HEAD", "PUT", "OPTIONS"]),
            "url": f"/desk/{page}",
            "params": fields,
            "headers": headers,
        }
    fields["form_token"] = fields.get("form_token", token)
    return {"method": "POST", "url": f"/desk/{page}", "data": fields, "headers": headers}
