"""Who gets into the desk, and what a stranger can do: nothing."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.api.application import Api
from app.desk.headers import SECURITY_HEADERS
from app.desk.pages import PAGES
from app.desk.sessions import COOKIE, SESSION_SECONDS, VISITOR_COOKIE, Session, Sessions
from tests.support.desk import DESK_TOKEN, Browser, DeskService, desk_at
from tests.support.receivers import settings_for
from tests.support.servers import running


@pytest.fixture
def visitor(service: DeskService, redis: Redis) -> Iterator[Browser]:
    with service.visitor() as browser:
        yield browser


def cookie_of(browser: Browser, name: str = COOKIE) -> str:
    (value,) = [one.value for one in browser.client.cookies.jar if one.name == name]
    return str(value)


def lets_in(browser: Browser, cookie: str) -> bool:
    """Return whether a browser with this cookie sees the overview."""
    answer = httpx.get(f"{browser.client.base_url}/desk/overview", cookies={COOKIE: cookie})
    assert answer.status_code == 200 or answer.headers["location"] == "login"
    return answer.status_code == 200


def test_without_a_token_there_is_no_desk(redis_url: str) -> None:
    settings = settings_for(
        redis_url, CREDITS_API_TOKEN="api-token-of-the-tests", POLAR_ACCESS_TOKEN="polar_oat_x"
    )
    with running(Api(settings)) as url:
        assert [httpx.get(f"{url}/desk{path}").status_code for path in ("", "/", "/login", "/overview")] == [
            404
        ] * 4


def test_the_desk_alone_serves_no_operations_but_tells_that_it_lives(service: DeskService) -> None:
    assert httpx.get(f"{service.url}/v1/openapi.json").status_code == 404
    assert httpx.get(f"{service.url}/livez").status_code == 200
    assert httpx.get(f"{service.url}/readyz").status_code == 200


@pytest.mark.parametrize("page", sorted(name for name, page in PAGES.items() if page.get))
def test_a_stranger_sees_the_log_in_alone(visitor: Browser, page: str) -> None:
    visitor.get(f"{page}?id=1")
    assert visitor.url.startswith("login")
    assert "Log in" in visitor.text


@pytest.mark.parametrize("page", sorted(name for name, page in PAGES.items() if page.post))
def test_a_stranger_can_post_nothing(visitor: Browser, page: str) -> None:
    visitor.get("login")
    visitor.post(page, {"id": "1"})
    assert visitor.url.startswith("login")


def test_logging_in_leads_to_the_page_that_was_wanted(visitor: Browser) -> None:
    visitor.get("deliveries?status=failed")
    wanted = visitor.hidden("next")
    visitor.post("login", {"name": "Ada", "token": DESK_TOKEN, "next": wanted})
    assert (visitor.status, visitor.url) == (200, "deliveries?status=failed")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_from_elsewhere_is_asked_for_again_and_logs_nobody_out(visitor: Browser, site: str) -> None:
    """A browser sends a strict cookie only with what our own page asks for."""
    answer = visitor.client.get("/desk/delivery?id=a%22b", headers={"Sec-Fetch-Site": site})
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    assert '<meta http-equiv="refresh" content="0;url=delivery?id=a%22b">' in answer.text
    nowhere = visitor.client.get("/desk/overview?x=%22%3E%3Cscript%3E", headers={"Sec-Fetch-Site": site})
    assert "<script" not in nowhere.text


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "login", "\\evil", "a\r\nX: y"]
)
def test_logging_in_never_leads_out_of_the_desk(visitor: Browser, elsewhere: str) -> None:
    visitor.log_in(next_page=elsewhere)
    assert (visitor.status, visitor.url) == (200, "overview")


@pytest.mark.parametrize("wrong", ["", DESK_TOKEN[:-1], DESK_TOKEN + "x", "\u00e9" * 20, "x" * 60_000])
def test_a_wrong_token_is_refused_and_never_repeated(visitor: Browser, wrong: str) -> None:
    visitor.log_in(token=wrong)
    assert visitor.status == 401
    assert "This is not the token" in visitor.text
    assert not wrong or wrong not in visitor.page
    visitor.get("overview")
    assert visitor.url.startswith("login")


def test_a_name_is_needed_and_stays_on_one_line(visitor: Browser) -> None:
    visitor.log_in(name="  ")
    assert visitor.status == 400
    visitor.log_in(name="Ada\n<b>\x00Lovelace")
    assert "Ada &lt;b&gt; Lovelace" in visitor.page


@pytest.mark.parametrize(("proto", "is_secure"), [("http", False), ("https", True)])
def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(
    visitor: Browser, proto: str, is_secure: bool
) -> None:
    visitor.get("login")
    form = {"form_token": visitor.form_token, "name": "Ada", "token": DESK_TOKEN}
    answer = visitor.client.post("/desk/login", data=form, headers={"X-Forwarded-Proto": proto})
    attributes = set(answer.headers["set-cookie"].lower().split("; "))
    assert {"httponly", "samesite=strict", f"max-age={SESSION_SECONDS}"} <= attributes
    assert ("secure" in attributes) is is_secure


def test_logging_in_gives_a_new_session_so_that_a_planted_one_is_worth_nothing(visitor: Browser) -> None:
    visitor.get("login")
    planted = cookie_of(visitor, VISITOR_COOKIE)
    visitor.log_in()
    sessions = Sessions(DESK_TOKEN)
    assert sessions._cookies.loads(cookie_of(visitor))["id"] != sessions._cookies.loads(planted)["id"]
    assert not lets_in(visitor, planted)


def test_logging_out_ends_the_session_also_for_a_copy_of_its_cookie(desk: Browser) -> None:
    copied = cookie_of(desk)
    assert lets_in(desk, copied)
    desk.get("overview")
    desk.post("logout")
    assert desk.url == "login"
    assert not lets_in(desk, copied)


@pytest.mark.parametrize("change", ["none", "other token", "no signature", "old"])
def test_a_cookie_counts_only_with_this_token_and_for_eight_hours(
    visitor: Browser, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    age = SESSION_SECONDS + 60 if change == "old" else 0
    cookies = Sessions("another-token-of-ours" if change == "other token" else DESK_TOKEN)._cookies
    then = time.time() - age
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: then)
        cookie = str(cookies.dumps({"id": "some-id", "name": "Ada"}))
    if change == "no signature":
        cookie = cookie.rpartition(".")[0]
    assert lets_in(visitor, cookie) is (change == "none")


def test_a_form_counts_only_with_the_token_of_its_session(service: DeskService, desk: Browser) -> None:
    desk.get("overview")
    foreign = Sessions(DESK_TOKEN).sign_form(Session(id="another", name="Eve"))
    for token in ("", "x", "\u00e9", foreign, desk.form_token[:-1]):
        desk.get("overview")
        desk.post("logout", {"form_token": token})
        assert (desk.status, "no longer valid" in desk.text) == (403, True)
    desk.get("overview")
    assert desk.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[evil"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_form_from_another_site_does_nothing(desk: Browser, headers: dict[str, str]) -> None:
    desk.get("overview")
    desk.post("logout", headers=headers)
    assert (desk.status, "comes from another site" in desk.text) == (403, True)
    desk.get("overview")
    assert desk.url == "overview"


def test_every_answer_has_the_headers_that_keep_others_out(desk: Browser, visitor: Browser) -> None:
    for browser, page in [
        (desk, "overview"),
        (desk, "nothing"),
        (visitor, "login"),
        (visitor, "overview"),
    ]:
        answer = browser.client.get(f"/desk/{page}")
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)
        assert answer.headers["cache-control"] == "no-store"
        assert "'unsafe" not in answer.headers["content-security-policy"]


def test_no_page_has_script_or_style_in_it(desk: Browser) -> None:
    html = desk.get("overview")
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|javascript:", html)


def test_the_style_sheet_is_kept_for_ever_until_it_changes(desk: Browser) -> None:
    (path,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', desk.get("overview"))
    current = desk.client.get(f"/desk/{path}")
    assert current.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert current.headers["content-type"].startswith("text/css")
    former = desk.client.get("/desk/static/000000000000/desk.css")
    assert (former.status_code, former.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "path",
    ["static/x/../../rules.yaml", "static/x/..%2fapplication.py", "static/x/none.css", "%2e%2e/", "a/b/c"],
)
def test_there_is_nothing_else(desk: Browser, path: str) -> None:
    assert desk.client.get(f"/desk/{path}").status_code == 404


def test_a_form_that_is_too_large_or_broken_is_refused(desk: Browser) -> None:
    desk.get("overview")
    for body, status in [(b"x" * 300_000, 413), (b"a=%ff\xff", 400), (b"&".join([b"a=1"] * 60), 400)]:
        answer = desk.client.post("/desk/logout", content=body)
        assert answer.status_code == status


@pytest.mark.parametrize("root_path", ["", "/ops/credits"], ids=["unknown to the desk", "as root_path"])
def test_it_works_behind_the_prefix_of_a_proxy(redis_url: str, tmp_path: Path, root_path: str) -> None:
    """Every link is relative, so the desk need not know the prefix."""
    with desk_at(redis_url, tmp_path, prefix="/ops/credits", root_path=root_path) as service:
        root = httpx.get(f"{service.url}/desk", follow_redirects=True)
        assert root.url.path == "/ops/credits/desk/login"
        with service.visitor() as browser:
            browser.get("deliveries?status=failed")
            browser.log_in(next_page=browser.hidden("next"))
            assert (browser.status, browser.url) == (200, "deliveries?status=failed")
            links = re.findall(r'(?:href|action)="([^"]*)"', browser.page)
            assert links
            assert not [one for one in links if one.startswith(("/", "http"))]
            assert {cookie.path for cookie in browser.client.cookies.jar} == {"/ops/credits/desk"}


def test_while_redis_is_away_a_page_says_so(tmp_path: Path) -> None:
    with desk_at("redis://127.0.0.1:1/0", tmp_path) as service, service.visitor() as browser:
        browser.log_in()
        assert (browser.status, "Redis cannot be read now" in browser.text) == (503, True)
