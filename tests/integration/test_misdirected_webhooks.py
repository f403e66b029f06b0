"""Webhooks at another path than the endpoint's: answered 404, counted, and logged in a few lines."""

import httpx
import pytest
from structlog.testing import capture_logs

from app.main import create_app
from tests.support.metrics_scrape import scraped
from tests.support.receivers import OPS_TOKEN, PAID, settings_for, signed
from tests.support.servers import running

WRONG = [
    "/webhook/polar",
    "//webhooks/polar",
    "/webhooks/polar//",
    "/",
    "/webhooks",
    "/webhooks/Polar",
    "/livez",
]


@pytest.mark.parametrize("path", WRONG)
def test_it_is_answered_404_and_logged_with_its_path(redis_url: str, path: str) -> None:
    with capture_logs() as lines, running(create_app(settings_for(redis_url))) as url:
        answer = httpx.post(url + path, content=PAID, headers=signed(PAID, "msg-1"))
    assert (answer.status_code, answer.json()["error"]) == (404, "wrong_path")
    (line,) = [one for one in lines if one["event"] == "request refused"]
    assert (line["path"], line["expected"]) == (path, "/webhooks/polar")


def test_one_trailing_slash_is_allowed(redis_url: str) -> None:
    with running(create_app(settings_for(redis_url))) as url:
        answer = httpx.post(f"{url}/webhooks/polar/", content=PAID, headers=signed(PAID, "msg-1"))
        assert (answer.status_code, answer.json()["disposition"]) == (202, "accepted")
        assert httpx.get(f"{url}/webhooks/polar/").status_code == 405


@pytest.mark.usefixtures("redis")  # an empty one: the other tests are counted, too
def test_a_flood_is_counted_and_fills_no_log(redis_url: str) -> None:
    app = create_app(settings_for(redis_url, CREDITS_OPS_TOKEN=OPS_TOKEN))
    with capture_logs() as lines, running(app) as url, httpx.Client(base_url=url) as client:
        for number in range(50):
            long_path = f"/{number}/" + "x" * 1000
            assert client.post(long_path, headers=signed(b"", "msg-1")).status_code == 404
        numbers = scraped(url)
    assert numbers["credits_rejected_requests_total wrong_path"] == 50
    (line,) = [one for one in lines if one["event"] == "request refused"]
    assert len(line["path"]) == 100


def test_other_requests_leave_no_trace(redis_url: str) -> None:
    """A scanner's POST without the headers of a webhook is nobody's mistake."""
    with capture_logs() as lines, running(create_app(settings_for(redis_url))) as url:
        assert httpx.post(f"{url}/wp-login.php").status_code == 404
        assert httpx.get(f"{url}/webhook/polar", headers=signed(b"", "msg-1")).status_code == 404
    assert [one for one in lines if one["event"] == "request refused"] == []
