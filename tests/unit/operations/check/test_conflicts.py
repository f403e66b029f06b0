"""Where Polar's own credits and prices work against ours."""

from typing import Any

import pytest

from app.demo.polar import Polar
from config.rules import Rules
from tests.support.builders import PRODUCT, rule, rules_of, some_id
from tests.support.catalogues import ARCHIVED, COUNT, both, goods, meter, product
from workers.operations.check.findings import check_conflicts
from workers.polar.catalogue import PolarMeter, PolarProduct, parse_items

USAGE, IMAGES = meter(), meter("images")
PACK = rules_of(rule("pack", {"api_usage": 10}, products=[PRODUCT]))
PLAN = rules_of(rule("plan", {"api_usage": 10}, products=[PRODUCT], triggers=["subscription_cycle"]))
EVERY_RENEWAL = rules_of(rule("plan", {"api_usage": 10}, triggers=["subscription_cycle"]))

TWICE = "credited twice"
OWN_BENEFIT = "has Polar's own Credits benefit on api_usage: each cycle resets"
METERED = "has a metered price on api_usage: each cycle resets"


def said(
    rules: Rules, *products: PolarProduct, meters: tuple[PolarMeter, ...] = (USAGE, IMAGES)
) -> list[str]:
    findings = list(check_conflicts(rules, products, meters))
    assert {(one.level, one.what) for one in findings} <= {("warning", "product")}
    return [one.detail for one in findings]


@pytest.mark.parametrize(
    ("rules", "every"),
    [
        (PACK, None),
        (PLAN, "month"),
        (rules_of(rule("all", {"api_usage": 1})), None),
        (rules_of(rule("all", {"api_usage": 1})), "year"),
        (EVERY_RENEWAL, "month"),
        (rules_of(rule("trial", {"api_usage": 1}, triggers=["trial_start"])), "month"),
    ],
)
def test_a_product_that_polar_credits_too_is_credited_twice(rules: Rules, every: str | None) -> None:
    (detail,) = said(rules, product(every=every, credits_on=[USAGE]))
    name = rules.rules[0].name
    assert (
        f"'Credit pack' credits api_usage through Polar's own Credits benefit, and so does rule {name}"
        in detail
    )
    assert TWICE in detail
    assert "detach the benefit" in detail


@pytest.mark.parametrize(
    ("rules", "sold"),
    [
        (PACK, product(credits_on=[IMAGES])),
        (PACK, product(product_id=some_id(2), credits_on=[USAGE])),
        (EVERY_RENEWAL, product(credits_on=[USAGE])),
        (rules_of(), product(every="month", credits_on=[USAGE], bills=[USAGE])),
        (PACK, product(bills=[USAGE])),
        (PACK, product(every="month", bills=[IMAGES])),
        (PACK, product(credits_on=[USAGE], is_archived=True)),
    ],
    ids=[
        "another meter",
        "another product",
        "renewals alone, of what is sold once",
        "no rules",
        "no subscription",
        "a price on another meter",
        "sold no more",
    ],
)
def test_what_does_not_meet_our_credits_is_no_conflict(rules: Rules, sold: PolarProduct) -> None:
    assert said(rules, sold) == []


@pytest.mark.parametrize("rules", [PACK, rules_of(rule("all", {"api_usage": 1}, triggers=["purchase"]))])
def test_polars_own_credits_on_another_subscription_take_ours_away_at_each_cycle(rules: Rules) -> None:
    (detail,) = said(rules, product("Pro", product_id=some_id(2), every="month", credits_on=[USAGE]))
    assert detail.startswith(f"'Pro' {OWN_BENEFIT}")


@pytest.mark.parametrize("rules", [PACK, PLAN, EVERY_RENEWAL])
@pytest.mark.parametrize("fields", [{}, {"is_archived": True}, {"product_id": some_id(2)}], ids=str)
def test_a_metered_price_on_any_subscription_takes_ours_away_at_each_cycle(
    rules: Rules, fields: dict[str, Any]
) -> None:
    """Also on one that no rule names, or that is sold no more: who bought a pack may have it."""
    (detail,) = said(rules, product("Pro", every="month", bills=[USAGE], **fields))
    assert detail.startswith(f"'Pro' {METERED}")


def test_prices_in_two_currencies_are_one_conflict() -> None:
    assert len(said(PACK, product(every="month", bills=[USAGE, USAGE]))) == 1


def test_all_conflicts_are_told_of() -> None:
    rules = rules_of(rule("all", {"api_usage": 1, "images": 1}))
    details = said(
        rules,
        product("Pro", every="month", bills=[USAGE], credits_on=[USAGE, IMAGES]),
        product("Pack", product_id=some_id(2), credits_on=[IMAGES]),
    )
    told = [("Pro", TWICE), ("Pro", METERED), ("Pro", TWICE), ("Pack", TWICE)]
    assert len(details) == len(told)
    for detail, (name, words) in zip(details, told, strict=True):
        assert name in detail
        assert words in detail


def test_it_is_the_meter_that_holds_the_credit_which_counts() -> None:
    """Another one of the same events, which counts requests, may be billed as it likes."""
    requests = meter("Requests", filter=USAGE.filter.model_dump(), aggregation=COUNT)
    sold = product(every="month", bills=[requests])
    assert said(PACK, sold, meters=(USAGE, requests)) == []


@pytest.mark.parametrize("fields", [{"summed": "calls"}, {"archived_at": ARCHIVED}, {"aggregation": COUNT}])
def test_a_conflict_is_told_of_before_the_meter_is_mended(fields: dict[str, Any]) -> None:
    wrong = meter(**fields)
    assert len(said(PACK, product(every="month", bills=[wrong]), meters=(wrong,))) == 1


def test_a_benefit_that_is_deleted_credits_nobody() -> None:
    gone = {"properties": {"meter_id": USAGE.id}, "is_deleted": True}
    assert said(PACK, product(benefits=[gone])) == []


def test_a_benefit_of_another_type_credits_nobody() -> None:
    shown = Polar().add_product(**goods(credits_on=[USAGE])).model_dump(mode="json")
    shown["benefits"][0]["type"] = "meter_badge"
    assert said(PACK, *parse_items(PolarProduct, [shown])) == []


def test_without_meters_there_is_nothing_to_conflict_with() -> None:
    assert said(PACK, product(credits_on=[USAGE]), meters=()) == []


def test_a_filter_of_everything_is_a_meter_like_others() -> None:
    everything = meter("Everything", filter=both())
    assert len(said(PACK, product(credits_on=[everything]), meters=(everything,))) == 1


@pytest.mark.parametrize(
    ("count", "every"), [(1, "every month, without any webhook"), (3, "every 3 months, without any webhook")]
)
def test_a_meter_period_of_its_own_resets_the_meter_more_often_than_the_product_bills(
    count: int, every: str
) -> None:
    """A yearly plan whose meters run monthly: no webhook tells of their resets."""
    yearly: dict[str, Any] = {"every": "year", "meter_interval": "month", "meter_interval_count": count}
    (metered,) = said(PLAN, product(bills=[USAGE], **yearly))
    assert (
        f"has a metered price on api_usage: its meter period resets the meter of its customers {every}"
        in metered
    )
    (benefit,) = said(PACK, product(credits_on=[USAGE], product_id=some_id(2), **yearly))
    assert every in benefit


def test_a_meter_period_without_a_metered_price_or_benefit_resets_nothing() -> None:
    assert said(PLAN, product(every="year", meter_interval="month", meter_interval_count=1)) == []


MONTHLY = rules_of(
    rule("yearly", {"api_usage": 10}, products=[PRODUCT], triggers=["subscription_cycle"], every="month")
)
METER_PERIOD: dict[str, Any] = {"every": "year", "meter_interval": "month", "meter_interval_count": 1}


@pytest.mark.parametrize(
    ("sold", "words"),
    [
        (product(every="year", credits_on=[USAGE]), TWICE),
        (product(credits_on=[USAGE], **METER_PERIOD), TWICE),
        (product(bills=[USAGE], **METER_PERIOD), "resets the meter of its customers every month"),
        (
            product(**METER_PERIOD),
            "has a meter period of its own (every month), and rule yearly credits api_usage every month: "
            "remove the meter period from the product, or `every` from the rule",
        ),
    ],
)
def test_what_doubles_or_resets_instalments_is_an_error(sold: PolarProduct, words: str) -> None:
    (finding,) = check_conflicts(MONTHLY, [sold], [USAGE, IMAGES])
    assert (finding.level, finding.what) == ("error", "product")
    assert words in finding.detail


@pytest.mark.parametrize(
    "sold",
    [
        product(every="year"),
        product(every="year", credits_on=[IMAGES]),
        product(bills=[IMAGES], **METER_PERIOD),
        product(product_id=some_id(2), **METER_PERIOD),
    ],
    ids=["no meter period", "another meter", "a meter period for another meter", "another product"],
)
def test_what_leaves_instalments_alone_is_no_error(sold: PolarProduct) -> None:
    assert said(MONTHLY, sold) == []


def test_a_price_that_resets_the_meter_once_a_year_is_a_warning_beside_instalments_too() -> None:
    (detail,) = said(MONTHLY, product(every="year", bills=[USAGE]))
    assert METERED in detail
