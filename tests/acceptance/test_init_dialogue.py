"""``credits init`` on a terminal: what a person is asked, and what their answers lead to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.demo.polar import Polar, create_app
from app.demo.polar.organization import SETUP_SCOPES
from config.rules import Trigger, load_rules
from tests.support.builders import CUSTOMER, PRODUCT, some_id
from tests.support.catalogues import goods
from tests.support.processes import SECRET, TOKEN, Credits
from tests.support.servers import running
from tests.support.terminals import in_dialogue

pytestmark = pytest.mark.heavy  # each dialogue starts a process, and waits for each of its questions

URL = "https://credits.invalid"
PLAN = some_id(2)


@pytest.fixture
def polar() -> Polar:
    """Return an organization with two products and no meter."""
    polar = Polar(token=TOKEN, scopes=SETUP_SCOPES)
    polar.add_customer(CUSTOMER)
    polar.add_product(**goods("Credit pack"))
    polar.add_product(**goods("Pro \x1b[31mplan", product_id=PLAN, every="month"))
    return polar


@pytest.fixture
def polar_url(polar: Polar) -> Iterator[str]:
    """Yield the URL of the running organization."""
    with running(create_app(polar)) as url:
        yield url


@pytest.fixture
def merchant(redis_url: str, tmp_path: Path) -> Credits:
    """Return the commands in an empty folder, without any setting but Redis."""
    return Credits(folder=tmp_path, settings={"REDIS_URL": redis_url})


def start(polar_url: str) -> list[tuple[str, str]]:
    """Return the questions that come first, with answers."""
    return [("Polar server", polar_url), ("Access token", TOKEN), ("Public URL", URL)]


def test_a_merchant_with_nothing_but_a_token_answers_and_is_done(
    merchant: Credits, polar: Polar, polar_url: str
) -> None:
    answers = [
        *start(polar_url),
        ("Name of the events", ""),
        ("Kind of rule", "1"),
        ("Which product", ""),
        ("How many credits", "1000"),
        ("Another rule?", "y"),
        ("Kind of rule", "plan"),
        ("Which product", "pro"),
        ("How many credits", "lots"),
        ("How many credits", "5000"),
        ("Another rule?", ""),
        ("Write and create this?", "y"),
    ]
    status, shown = in_dialogue(merchant, "init", answers=answers)
    assert status == 0, shown
    assert "'lots' is not a number of credits" in shown
    assert "events:write, meters:read, products:read, webhooks:write" in shown
    assert "\x1b[31m" not in shown
    pack, plan = load_rules(merchant.folder / "rules.yaml").rules
    assert (pack.products, pack.triggers) == (frozenset({PRODUCT}), frozenset({Trigger.PURCHASE}))
    assert plan.products == frozenset({PLAN})
    (endpoint,) = polar.endpoints
    assert polar.meters["api_usage"].counts("api_usage")
    assert dotenv_values(merchant.folder / ".env")["POLAR_WEBHOOK_SECRET"] == endpoint.secret
    for secret in (TOKEN, endpoint.secret):
        assert secret not in shown
    assert "Next:" in shown


def test_a_refused_token_and_urls_that_polar_cannot_use_are_asked_for_again(
    merchant: Credits, polar: Polar, polar_url: str
) -> None:
    polar.add_meter("api_usage")
    answers = [
        ("Polar server", polar_url),
        ("Access token", "polar_oat_of-production"),
        ("Public URL", "http://localhost:8000"),
        ("Public URL", "http://credits.example.com"),
        ("Public URL", URL),
        ("Access token", SECRET),
        ("Access token", TOKEN),
        ("Kind of rule", "yearly"),
        ("Kind of rule", "welcome"),
        ("How many credits", "25"),
        ("Another rule?", "n"),
        ("Write and create this?", "y"),
    ]
    status, shown = in_dialogue(merchant, "init", answers=answers)
    assert status == 0, shown
    for words in (
        "Polar cannot reach localhost: start a tunnel",
        "only to https:// URLs",
        "refuses the access token",
        "contains the secret of a webhook endpoint",
        "Polar has no product sold by yearly subscription",
    ):
        assert words in " ".join(shown.split())
    assert polar.endpoints[0].events == ["customer.created"]
    assert SECRET not in shown


def test_who_says_no_has_nothing_changed(merchant: Credits, polar: Polar, polar_url: str) -> None:
    polar.add_meter("api_usage")
    answers = [
        *start(polar_url),
        ("Kind of rule", "pack"),
        ("Which product", "1"),
        ("How many credits", "10"),
        ("Another rule?", "n"),
        ("Write and create this?", "n"),
    ]
    status, shown = in_dialogue(merchant, "init", answers=answers)
    assert status == 0
    assert shown.endswith("Nothing was written or created.\n")
    assert list(merchant.folder.iterdir()) == []
    assert polar.endpoints == []


def test_of_several_meters_one_is_chosen(merchant: Credits, polar: Polar, polar_url: str) -> None:
    polar.add_meter("api_usage")
    polar.add_meter("images", "count")
    options = ("--server", polar_url, "--public-url", URL, "--yes")
    answers = [
        ("Access token", TOKEN),
        ("Kind of rule", "welcome"),
        ("Which meter", "pictures"),
        ("Which meter", "2"),
        ("How many credits", "10"),
        ("Another rule?", "n"),
    ]
    status, shown = in_dialogue(merchant, "init", *options, answers=answers)
    assert status == 0, shown
    meters = load_rules(merchant.folder / "rules.yaml").meters
    assert [(one.name, one.property) for one in meters.values()] == [("images", "count")]


def test_of_many_products_one_is_found_by_a_part_of_its_name(
    merchant: Credits, polar: Polar, polar_url: str
) -> None:
    polar.add_meter("api_usage")
    for number in range(100, 200):
        polar.add_product(**goods(f"Pack {number}", product_id=some_id(number)))
    answers = [
        *start(polar_url),
        ("Kind of rule", "pack"),
        ("Which product", "pack 1"),
        ("Which product", "101, Pack 102"),
        ("How many credits", "10"),
        ("Another rule?", "n"),
        ("Write and create this?", "y"),
    ]
    status, shown = in_dialogue(merchant, "init", answers=answers)
    assert status == 0, shown
    assert "and 81 more: write a part of the name" in shown
    assert "several products match 'pack 1'" in shown
    (rule,) = load_rules(merchant.folder / "rules.yaml").rules
    assert rule.products is not None
    assert some_id(102) in rule.products
