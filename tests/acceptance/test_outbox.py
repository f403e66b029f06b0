"""`credits outbox`: what the storefront was told, and telling it again."""

from collections.abc import Iterator

import pytest

from tests.support.builders import some_id
from tests.support.cli_session import Desk, assert_one_line_error, assert_usage_error, purchase
from tests.support.event_receivers import EVENTS_SECRET, HttpStorefront, http_storefront
from tests.support.processes import Credits

pytestmark = pytest.mark.heavy

KEY = f"credits:order:{some_id(1)}:api_usage"


@pytest.fixture
def shop() -> Iterator[HttpStorefront]:
    with http_storefront() as here:
        yield here


@pytest.fixture
def telling(desk: Desk, shop: HttpStorefront) -> Credits:
    """Return the commands, set up to tell the storefront, after a credit that it was not told of yet."""
    settings = {"CREDITS_EVENTS_URL": shop.url, "CREDITS_EVENTS_SECRET": EVENTS_SECRET}
    credits_ = desk.credits.with_settings(**settings)
    desk.receive(purchase(1))
    assert credits_.run("work", "--burst").returncode == 0  # workers that end by themselves send no events
    return credits_


def test_what_waits_is_listed_and_sent_by_hand(telling: Credits, shop: HttpStorefront) -> None:
    (waiting,) = telling.json("outbox")
    assert (waiting["id"], waiting["status"], waiting["ended_at"]) == (KEY, "waiting", None)
    assert "1 waiting, 0 given up" in telling.run("outbox").stdout
    assert telling.json("outbox", "resend", KEY) == [{"id": KEY, "sent": True, "reason": None}]
    assert [one.id for one in shop.received] == [KEY]
    (sent,) = telling.json("outbox")
    assert (sent["status"], sent["due_at"]) == ("sent", None)
    assert telling.json("status")["checks"]["events"] == {"ok": True, "detail": "none is waiting"}


def test_what_was_refused_is_listed_as_failed_until_it_is_taken(
    telling: Credits, shop: HttpStorefront
) -> None:
    assert telling.json("outbox", "--failed") == []
    shop.status = 503
    refused = telling.run("outbox", "resend", KEY)
    assert (refused.returncode, "answered 503" in refused.stdout) == (1, True)
    (failed,) = telling.json("outbox", "--failed")
    assert (failed["status"], failed["attempts"], failed["reason"]) == ("refused", 1, "answered 503")
    shop.status = 200
    again = telling.run("outbox", "resend", "--failed")
    assert (again.returncode, "sent: 1 event of 1" in again.stdout) == (0, True)
    assert telling.json("outbox", "--failed") == []
    assert len(shop.received) == 1


def test_an_unknown_id_and_wrong_use_are_named(telling: Credits, shop: HttpStorefront) -> None:
    assert_one_line_error(telling.run("outbox", "resend", KEY, "credits:order:1:x"), "credits:order:1:x")
    assert shop.received == []
    assert_usage_error(telling.run("outbox", "resend"), "give either the ids of events, or --failed")
    assert_usage_error(telling.run("outbox", "resend", KEY, "--failed"), "give either")


def test_without_a_url_nothing_can_be_sent(desk: Desk) -> None:
    assert_one_line_error(desk.credits.run("outbox", "resend", "--failed"), "CREDITS_EVENTS_URL is not set")
    assert "CREDITS_EVENTS_URL is not set, so none is sent" in desk.credits.run("outbox").stdout
    without_secret = desk.credits.with_settings(CREDITS_EVENTS_URL="https://shop.example.com")
    assert_one_line_error(without_secret.run("outbox"), "CREDITS_EVENTS_SECRET: it is not set")
