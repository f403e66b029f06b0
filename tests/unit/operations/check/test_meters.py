"""What is said of a meter that the rules name, by what Polar has."""

from typing import Any

import pytest
from msgspec.structs import replace

from config.rules import Rules
from tests.support.builders import grant_of
from tests.support.catalogues import ARCHIVED, BY_NAME, COUNT, both, clause, either, meter
from tests.support.rule_files import parse
from workers.core.findings import Finding
from workers.core.usage_events import usage_event
from workers.operations.check.findings import check_meters
from workers.polar.catalogue import Listed, PolarMeter

OF_PRO = clause("plan", "eq", "pro")


def rules_for(name: str = "api_usage", prop: str = "units") -> Rules:
    return parse(f"version: 1\nmeters: {{{name!r}: {{property: {prop}}}}}\nrules: []\n")


def said(rules: Rules, *meters: PolarMeter, unread: int = 0) -> list[Finding]:
    return list(check_meters(rules, Listed(items=meters, unread=unread)))


def only(rules: Rules, *meters: PolarMeter) -> tuple[str, str]:
    (finding,) = said(rules, *meters)
    assert finding.what == "meter"
    return finding.level, finding.detail


def test_a_meter_that_sums_the_property_of_its_events_is_right() -> None:
    found = only(rules_for(), meter())
    assert found == ("ok", "api_usage: the meter 'api_usage' sums 'units'")


def test_what_people_call_a_meter_does_not_matter() -> None:
    level, detail = only(rules_for(), meter("API calls", filter=both(BY_NAME)))
    assert (level, "'API calls'" in detail) == ("ok", True)


def test_another_property_is_right_if_the_rules_say_so() -> None:
    level, _ = only(rules_for(prop="calls"), meter(summed="calls"))
    assert level == "ok"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"aggregation": COUNT},
            "aggregates by count, and only a sum can hold credit: make a meter",
        ),
        ({"aggregation": {"func": "max", "property": "units"}}, "aggregates by max"),
        ({"aggregation": {"func": "unique", "property": "units"}}, "aggregates by unique"),
        ({"summed": "calls"}, "sums 'calls' and not 'units'"),
        ({"archived_at": ARCHIVED}, "is archived"),
    ],
    ids=str,
)
def test_what_keeps_a_meter_from_holding_credit_is_an_error_and_named(
    fields: dict[str, Any], words: str
) -> None:
    level, detail = only(rules_for(), meter(**fields))
    assert level == "error"
    assert detail.startswith("api_usage: the meter 'api_usage'")
    assert words in detail


def test_a_wrong_meter_may_look_for_a_part_of_the_name() -> None:
    _, detail = only(rules_for(), meter(filter=both(clause("name", "like", "api")), aggregation=COUNT))
    assert "aggregates by count" in detail


def test_everything_that_is_wrong_with_a_meter_is_said_at_once() -> None:
    _, detail = only(rules_for(), meter(summed="calls", archived_at=ARCHIVED, filter=both(BY_NAME, OF_PRO)))
    for words in ("sums 'calls'", "is archived", "plan eq 'pro'"):
        assert words in detail


@pytest.mark.parametrize(
    "passing",
    [
        both(BY_NAME),
        either(BY_NAME),
        both(both(either(BY_NAME))),
        both(clause("name", "like", "api")),
        both(BY_NAME, clause("source", "eq", "user")),
        both(BY_NAME, clause("granted_by", "eq", "credit-granter")),
        both(BY_NAME, clause("name", "ne", "other")),
        either(BY_NAME, OF_PRO),
        both(BY_NAME, either(OF_PRO, clause("source", "eq", "user"))),
        both(BY_NAME, both()),
        both(),
        either(),
        both(clause("source", "eq", "user")),
    ],
    ids=str,
)
def test_a_filter_that_lets_every_one_of_our_events_pass_is_right(passing: dict[str, Any]) -> None:
    assert only(rules_for(), meter(filter=passing))[0] == "ok"


@pytest.mark.parametrize(
    ("further", "words"),
    [
        (OF_PRO, "plan eq 'pro'"),
        (clause("units", "gt", 0), "units gt 0"),
        (clause("granted_by", "ne", "credit-granter"), "granted_by ne 'credit-granter'"),
        (clause("source", "eq", "system"), "source eq 'system'"),
        (clause("paid", "eq", True), "paid eq True"),
        (clause("rules", "not_like", "trial"), "rules not_like 'trial'"),
        (clause("name", "approximately", "api_usage"), "name approximately 'api_usage'"),
        (clause("timestamp", "gt", 1), "timestamp gt 1"),
        (both(both(OF_PRO)), "plan eq 'pro'"),
        (either(OF_PRO, clause("plan", "eq", "max")), "plan eq 'pro', plan eq 'max'"),
    ],
    ids=str,
)
def test_further_conditions_that_our_events_may_not_meet_are_a_warning(
    further: dict[str, Any], words: str
) -> None:
    level, detail = only(rules_for(), meter(filter=both(BY_NAME, further)))
    assert level == "warning"
    assert f"by more than the name ({words})" in detail


def test_such_a_doubt_tells_all_that_an_event_of_ours_may_have() -> None:
    _, detail = only(rules_for(), meter(filter=both(BY_NAME, OF_PRO)))
    ours = usage_event(replace(grant_of(), reason="beta tester"))["metadata"]
    assert f"they have only the name and {', '.join(ours)};" in detail


def test_of_several_meters_one_that_is_right_is_enough() -> None:
    others = (
        meter(aggregation=COUNT),
        meter(archived_at=ARCHIVED),
        meter(filter=both(BY_NAME, OF_PRO)),
    )
    level, detail = only(rules_for(), *others, meter("Credits", filter=both(BY_NAME)))
    assert (level, "'Credits'" in detail) == ("ok", True)


def test_where_none_is_right_the_one_with_the_fewest_faults_is_told_of() -> None:
    far, near = meter("Far", aggregation=COUNT, archived_at=ARCHIVED), meter("Near", archived_at=ARCHIVED)
    here = [one.model_copy(update={"filter": meter().filter}) for one in (far, near)]
    level, detail = only(rules_for(), *here)
    assert level == "error"
    assert detail.startswith("api_usage: the meter 'Near' is archived")


def test_a_doubtful_meter_is_nearer_than_a_wrong_one() -> None:
    level, _ = only(rules_for(), meter(archived_at=ARCHIVED), meter(filter=both(BY_NAME, OF_PRO)))
    assert level == "warning"


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("api_usge", "did you mean 'api_usage'?"),
        ("Image generations", "did you mean 'images'?"),
        ("video", "; create one that filters by this name and sums 'units'"),
    ],
)
def test_a_name_that_no_filter_looks_for_is_an_error_with_the_close_one(wanted: str, hint: str) -> None:
    """Close to an event's name, or to what people call the meter."""
    there = (meter(), meter("Image generations", filter=both(clause("name", "eq", "images"))))
    level, detail = only(rules_for(wanted), *there)
    assert level == "error"
    assert detail.startswith(f"{wanted}: no meter's filter looks for this name")
    assert hint in detail


def test_a_meter_of_all_events_that_is_wrong_is_not_what_a_rule_meant() -> None:
    _, detail = only(rules_for(), meter("Everything", filter=both(), aggregation=COUNT))
    assert "no meter's filter looks for this name" in detail


def test_an_organization_without_meters_is_told_to_make_one() -> None:
    assert only(rules_for())[0] == "error"


def test_where_not_all_meters_were_read_a_missing_one_is_no_certainty() -> None:
    missing, unread = said(rules_for("video"), meter(), unread=7)
    assert (missing.level, unread.level) == ("warning", "warning")
    assert "7 more" in unread.detail


def test_every_meter_of_the_rules_is_told_of_also_one_that_no_rule_grants() -> None:
    rules = parse("version: 1\nmeters: {api_usage: {}, images: {}}\nrules: []\n")
    assert [one.level for one in said(rules, meter())] == ["ok", "error"]


def test_long_words_of_others_are_cut() -> None:
    long = meter("n" * 5000, filter=both(BY_NAME, clause("p", "eq", "v" * 1000)))
    assert len(only(rules_for(), long)[1]) < 500
