"""What is asked of Polar, and what is said where it does not answer."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from app.demo.polar import Polar as Standin
from tests.support.answers import recorded
from tests.support.builders import rule, rules_of, some_id
from tests.support.surveys import PACK, Answer, asked, brief, said, stocked_standin


@pytest.fixture
def standin() -> Standin:
    return stocked_standin()


def test_where_all_is_well_each_scope_is_asked_for_once_and_nothing_is_changed(standin: Standin) -> None:
    answer, paths = asked(standin)
    found = said(answer)
    assert {one.level for one in found} == {"ok"}
    assert [one.detail for one in found if one.what == "scope"] == [
        "events:write",
        "meters:read",
        "products:read",
        "orders:read",
        "webhooks:read",
        "customers:read",
        "customer_meters:read",
        "customers:write",
    ]
    assert [one.what for one in found].count("meter") == len(PACK.meters)
    assert [one.what for one in found].count("product") == 1
    assert paths == [
        "POST /v1/events/ingest",
        "GET /v1/meters/",
        "GET /v1/products/",
        "GET /v1/orders/",
        "GET /v1/webhooks/deliveries",
        "GET /v1/customers/",
        "GET /v1/customer-meters/",
        "POST /v1/customers/",
        "GET /v1/webhooks/endpoints",
    ]
    assert (standin.events, standin.customers) == ([], {})


def test_an_endpoint_that_lacks_a_webhook_is_an_error_and_its_secret_is_not_shown(standin: Standin) -> None:
    standin.add_endpoint(
        url="https://credits.example.com/webhooks/polar", secret="whsec_testsecret", events=["order.created"]
    )
    (found,) = [one for one in said(asked(standin)[0]) if one.level != "ok"]
    assert (found.level, found.what) == ("error", "endpoint")
    assert "does not get order.paid" in found.detail
    assert "whsec" not in found.detail


def test_a_refused_token_is_one_error_that_says_what_to_do(standin: Standin) -> None:
    told = said(asked(standin)[0], token="polar_oat_of-production")
    (found,) = [one for one in told if one.level != "ok"]
    assert (found.level, found.what) == ("error", "token")
    for words in ("belongs to another server", "POLAR_SERVER", "sandbox"):
        assert words in found.detail


def test_without_the_scope_to_grant_there_is_an_error_and_all_else_is_looked_at(standin: Standin) -> None:
    standin.scopes -= {"events:write"}
    found = said(asked(standin)[0], rules_of(rule("pack", {"api_usage": 1}, products=[some_id(1)])))
    assert brief(found) == [("error", "scope"), ("error", "product")]
    assert "events:write is missing" in found[0].detail
    assert "Polar's dashboard" in found[0].detail


@pytest.mark.parametrize("thing", ["meter", "product"])
def test_without_a_scope_to_look_there_is_a_warning_and_all_else_is_looked_at(
    standin: Standin, thing: str
) -> None:
    standin.scopes -= {f"{thing}s:read"}
    found = said(asked(standin)[0])
    assert brief(found) == [("warning", "scope")]
    assert f"{thing}s:read is missing, so the {thing}s and " in "".join(one.detail for one in found)
    assert {"meter", "product"} - {one.what for one in found} == {thing}


def test_of_a_token_that_may_only_ingest_each_command_that_wants_more_is_told(standin: Standin) -> None:
    standin.scopes = frozenset({"events:write"})
    told = "\n".join(one.detail for one in said(asked(standin)[0]))
    for words in (
        "orders:read is missing, so `credits backfill` and CREDITS_RECONCILE_EVERY cannot",
        "webhooks:read is missing, so `credits recover` and the look at the endpoint cannot",
        "customers:read is missing, so `credits grant` and `credits balance` by e-mail address or your own",
        "customer_meters:read is missing, so `credits balance` cannot",
        "customers:write is missing, so `credits grant --create` cannot",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("answer", "what", "words"),
    [
        (recorded("not_found_path"), "server", "Polar answered 404"),
        (recorded("unknown_version"), "server", "no Polar API of version 2026-10"),
        (httpx.Response(307, headers={"location": "https://x.example/"}), "server", "POLAR_SERVER"),
        (httpx.Response(429), "polar", "Polar's rate limit is reached; check again in 60 s"),
        (httpx.Response(500), "polar", "the problem is on Polar's side"),
        (httpx.Response(503), "polar", "Polar answered 503"),
        (httpx.Response(405), "polar", "is POLAR_SERVER right"),
        (httpx.Response(200, text="<html>It works!</html>"), "polar", "not JSON"),
        (
            httpx.ConnectError("[Errno 111] Connection refused"),
            "polar",
            "Connection refused; is POLAR_SERVER",
        ),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "polar", "self-signed"),
        (httpx.ReadTimeout(""), "polar", "ReadTimeout"),
    ],
    ids=repr,
)
def test_where_polar_cannot_be_asked_one_line_says_so_and_what_to_do(
    answer: httpx.Response | Exception, what: str, words: str
) -> None:
    (found,) = said(always(answer))
    assert (found.level, found.what) == ("error", what)
    assert words in found.detail
    assert "\n" not in found.detail


def always(answer: httpx.Response | Exception) -> Answer:
    def give(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return give


def test_trouble_that_comes_in_between_hides_no_other_answer(standin: Standin) -> None:
    usual, _ = asked(standin)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if request.url.path == "/v1/meters/" else usual(request)

    found = said(answer)
    assert brief(found) == [("error", "polar")]
    assert "cannot be checked: Polar answered 500" in "".join(one.detail for one in found)
    assert "product" in {one.what for one in found}


def test_a_list_that_a_server_does_not_have_says_nothing_of_its_scope(standin: Standin) -> None:
    usual, _ = asked(standin)

    def answer(request: httpx.Request) -> httpx.Response:
        missing = request.url.path == "/v1/webhooks/deliveries"
        return recorded("not_found_path") if missing else usual(request)

    (found,) = [one for one in said(answer) if one.level != "ok"]
    assert (found.level, found.what) == ("warning", "scope")
    assert found.detail.startswith("webhooks:read could not be checked: Polar answered 404")


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (0, "ok", "agrees with Polar's"),
        (-50, "ok", "agrees with Polar's"),
        (120, "warning", "this host's clock is 2 min ahead of Polar's; set it (NTP)"),
        (-400, "error", "6 min behind Polar's, so a receiver on this host refuses every webhook as stale"),
    ],
)
def test_a_clock_that_differs_from_polars_is_reported(
    standin: Standin, *, ahead: int, level: str, words: str
) -> None:
    answer, _ = asked(standin)

    def dated(request: httpx.Request) -> httpx.Response:
        response = answer(request)
        response.headers["Date"] = format_datetime(datetime.now(UTC) - timedelta(seconds=ahead), usegmt=True)
        return response

    (found,) = [one for one in said(dated) if one.what == "clock"]
    assert found.level == level
    assert words in found.detail


@pytest.mark.parametrize("date", [None, "", "soon", "Sun, 99 Nov 2026 00:00:00 GMT"])
def test_an_answer_without_a_date_says_nothing_of_the_clock(standin: Standin, date: str | None) -> None:
    answer, _ = asked(standin)

    def dated(request: httpx.Request) -> httpx.Response:
        response = answer(request)
        response.headers.pop("Date", None)
        if date is not None:
            response.headers["Date"] = date
        return response

    assert [one for one in said(dated) if one.what == "clock"] == []
