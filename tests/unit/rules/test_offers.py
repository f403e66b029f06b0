"""What offers in a rules file may say."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from config.rules import Offer, parse_rules
from tests.support.rule_files import problems

FILE = "version: 1\nmeters: {m: {}, n: {}}\nrules: []\noffers:\n  - "
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def only_offer(text: str) -> Offer:
    (offer,) = parse_rules(FILE + text, "rules.yaml").offers.values()
    return offer


def test_an_offer_has_a_name_and_amounts() -> None:
    assert only_offer("{name: referral, grant: {m: 200, n: 0.5}}") == Offer(
        name="referral", grant={"m": Decimal(200), "n": Decimal("0.5")}
    )


def test_an_offer_says_to_whom_how_often_and_when() -> None:
    text = (
        "{name: a, grant: {m: 1}, once_per: key, most_per_customer: 20, "
        "from: 2026-12-01T00:00:00Z, until: 2027-01-01T00:00:00Z}"
    )
    offer = only_offer(text)
    assert (offer.once_per_customer, offer.most_per_customer) == (False, 20)
    assert offer.begins == datetime(2026, 12, 1, tzinfo=UTC)
    assert offer.ends == datetime(2027, 1, 1, tzinfo=UTC)
    assert only_offer("{name: a, grant: {m: 1}, once_per: customer}").once_per_customer


def test_a_file_without_offers_has_none() -> None:
    assert parse_rules("version: 1\nrules: []\n", "rules.yaml").offers == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{grant: {m: 1}}", "offers[0]: missing key 'name'"),
        ("{name: a}", "offers[0]: missing key 'grant'"),
        ("{name: a, grant: {}}", "offers[0].grant: grants nothing; name a meter and an amount"),
        ("{name: a b, grant: {m: 1}}", "found the text 'a b'"),
        ("{name: a, grant: {k: 1}}", "unknown meter 'k'; declare it under `meters` (declared: 'm', 'n')"),
        ("{name: a, grant: {m: 0}}", "expected more than 0, found the number '0'"),
        ("{name: a, grant: {m: -1}}", "expected more than 0, found the number '-1'"),
        (
            "{name: a, grant: {m: seats * 2}}",
            "an offer has no webhook for an expression to look at, found the text 'seats * 2'",
        ),
        ("{name: a, grant: {m: 1}, once_per: order}", "unknown word 'order'; it can be key or customer"),
        ("{name: a, grant: {m: 1}, most_per_customer: 0}", "such as 20, found the number '0'"),
        ("{name: a, grant: {m: 1}, most_per_customer: 1.5}", "such as 20, found the number '1.5'"),
        ("{name: a, grant: {m: 1}, most_per_customer: many}", "such as 20, found the text 'many'"),
        ("{name: a, grant: {m: 1}, most_per_custmer: 2}", "did you mean 'most_per_customer'?"),
        ("{name: a, grant: {m: 1}, triggers: [purchase]}", "unknown key 'triggers'"),
        (
            "{name: a, grant: {m: 1}, once_per: customer, most_per_customer: 2}",
            "`most_per_customer` says nothing beside `once_per: customer`, which gives it once",
        ),
        (
            "{name: a, grant: {m: 1}, from: 2027-01-01T00:00:00Z, until: 2026-01-01T00:00:00Z}",
            "`until` is not after `from`: it would never apply",
        ),
        ("{name: a, grant: {m: 1}, until: soon}", "found the text 'soon'"),
        ("{name: a, grant: {m: 1}}\n  - {name: a, grant: {n: 1}}", "duplicate offer name 'a'"),
        ("just text", "found the text 'just text'"),
    ],
)
def test_what_cannot_work_is_one_problem(text: str, message: str) -> None:
    (problem,) = problems(FILE + text)
    assert message in problem


def test_an_offer_that_is_over_is_a_warning() -> None:
    text = FILE + "{name: a, grant: {m: 1}, until: 2026-01-01T00:00:00Z}"
    (warning,) = parse_rules(text, "rules.yaml", now=NOON).warnings
    assert warning.message == "this time is in the past: the storefront can no longer give it"
    assert (warning.line, warning.path) == (5, "offers[0].until")
