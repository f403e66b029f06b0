"""`credits send --event`: a developer tries the storefront's receiver before anything is sold."""

from collections.abc import Iterator

import pytest

from tests.support.builders import CUSTOMER, some_id
from tests.support.cli_session import NOWHERE, assert_one_line_error, assert_usage_error
from tests.support.event_receivers import EVENTS_SECRET, HttpStorefront, http_storefront
from tests.support.processes import Credits

pytestmark = pytest.mark.heavy


@pytest.fixture
def shop() -> Iterator[HttpStorefront]:
    with http_storefront() as here:
        yield here


@pytest.fixture
def signing(alone: Credits) -> Credits:
    """Return the command with the secret of credit events alone."""
    return alone.with_settings(CREDITS_EVENTS_SECRET=EVENTS_SECRET)


def test_each_type_arrives_signed_and_complete(signing: Credits, shop: HttpStorefront) -> None:
    assert signing.run("send", "--event", "--url", shop.url).stdout == "204\n"
    for type_ in ("credit.taken_back", "credit.failed"):
        assert signing.json("send", "--event", type_, "--url", shop.url)["status"] == 204
    assert [one.body["type"] for one in shop.received] == [
        "credit.granted",
        "credit.taken_back",
        "credit.failed",
    ]
    fields = {tuple(one.body["data"]) for one in shop.received}
    assert len(fields) == 1
    for one in shop.received:
        data = one.body["data"]
        assert (data["meter"], data["credits"], data["rules"]) == ("api_usage", 100, ["starter-pack"])
    granted, taken_back, failed = shop.received
    assert granted.id == granted.body["data"]["key"]
    assert (taken_back.body["data"]["reason"], failed.id[-2:]) == ("refund", ":1")


def test_order_and_customer_can_be_chosen_and_the_url_comes_from_the_settings(
    signing: Credits, shop: HttpStorefront
) -> None:
    telling = signing.with_settings(CREDITS_EVENTS_URL=shop.url)
    done = telling.run("send", "--event", "--order", some_id(1), "--customer", CUSTOMER)
    assert done.returncode == 0
    (received,) = shop.received
    assert (received.body["data"]["order_id"], received.body["data"]["customer_id"]) == (some_id(1), CUSTOMER)


def test_a_refusal_fails_and_no_answer_is_one_line(signing: Credits, shop: HttpStorefront) -> None:
    shop.status = 403
    refused = signing.run("send", "--event", "--url", shop.url)
    assert (refused.returncode, refused.stdout) == (1, "403\n")
    assert_one_line_error(signing.run("send", "--event", "--url", NOWHERE), "no answer from")


def test_wrong_use_and_missing_settings_are_named(alone: Credits, signing: Credits) -> None:
    assert_usage_error(signing.run("send", "--event", "credit.lost"), "there are credit.granted,")
    assert_usage_error(signing.run("send", "--event", "--sample", "purchase"), "give only a type")
    assert_one_line_error(alone.run("send", "--event", "--url", NOWHERE), "CREDITS_EVENTS_SECRET is not set")
    assert_one_line_error(signing.run("send", "--event"), "CREDITS_EVENTS_URL is not set")
