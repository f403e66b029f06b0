"""A grant is sent to Polar as a usage event, the one place where credits become negative."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.builders import CUSTOMER, Amount, grant_of, some_id
from tests.support.drawn_rules import amounts
from tests.support.fake_polar import shape_problem
from workers.core.grants import (
    Grant,
    Part,
    customer_subject,
    cycle_subject,
    grant_key,
    order_of,
    order_subject,
    refund_subject,
)
from workers.core.usage_events import usage_event

ORDER = some_id(1)


def sent(*units: Amount) -> Any:
    """Return the amount in the JSON that is sent to Polar."""
    return json.loads(json.dumps(usage_event(grant_of(1, *units))), parse_float=Decimal)["metadata"]["units"]


def test_an_event_names_the_customer_and_the_reason() -> None:
    assert usage_event(grant_of(1, 10, 5)) == {
        "name": "api_usage",
        "customer_id": CUSTOMER,
        "external_id": f"credits:order:{ORDER}:api_usage",
        "metadata": {
            "units": -15,
            "granted_by": "credit-granter",
            "key": f"credits:order:{ORDER}:api_usage",
            "order_id": ORDER,
            "rules": "rule-1,rule-2",
        },
    }


def test_an_event_has_no_timestamp_because_polar_refuses_one_a_second_ahead() -> None:
    assert "timestamp" not in usage_event(grant_of())


def test_the_amount_goes_into_the_property_that_the_meter_sums() -> None:
    metadata = usage_event(grant_of(1, 10, meter="seconds"))["metadata"]
    assert metadata["amount"] == -10
    assert "units" not in metadata


@pytest.mark.parametrize("units", [1, 10, "10.0", "1E+3", 10**12 - 1, 999_999_999_999_999])
def test_whole_credits_are_json_integers(units: Amount) -> None:
    number = sent(units)
    assert isinstance(number, int)
    assert number == -Decimal(units)


@pytest.mark.parametrize("units", ["0.1", "0.5", "10.25", "0.000000000001", "99999999999.9999"])
def test_decimals_are_json_numbers_with_the_digits_of_the_rule(units: str) -> None:
    assert sent(units) == -Decimal(units)


def test_parts_are_added_as_decimals_without_binary_rounding() -> None:
    assert sent("0.1", "0.2") == Decimal("-0.3")
    assert sent(*["0.1"] * 10) == -1


@given(st.lists(amounts, min_size=1, max_size=5))
def test_the_amount_sent_is_exactly_the_negative_of_the_grant(units: list[Decimal]) -> None:
    assert sent(*units) == -sum(units)
    assert sent(*units) < 0


names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
meter_names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=128)


@given(meter_names, st.lists(names, min_size=1, max_size=40, unique=True), amounts)
def test_an_event_stays_within_polars_limits(meter: str, rules: list[str], units: Decimal) -> None:
    grant = Grant(
        subject=order_subject(ORDER),
        customer_id=CUSTOMER,
        meter=meter,
        property_name="units",
        parts=tuple(Part(rule=name, units=units) for name in rules),
    )
    event = usage_event(grant)
    assert shape_problem(event) == ""
    assert len(event["external_id"]) < 2_600  # beyond this Polar answers 500
    assert json.dumps(event, ensure_ascii=False).encode()


def test_a_part_read_back_from_polar_may_name_several_rules() -> None:
    grant = replace(grant_of(1, 10), parts=(Part(rule="pack,first", units=Decimal(60)),))
    assert grant.rules == ("pack", "first")


def test_the_names_of_many_rules_are_cut_to_polars_limit() -> None:
    """Forty names of 64 characters are 2,600 long; Polar accepts values of 1 to 500."""
    parts = tuple(Part(rule=f"{number:064}", units=Decimal(1)) for number in range(40))
    event = usage_event(replace(grant_of(), parts=parts))
    assert shape_problem(event) == ""
    assert event["metadata"]["units"] == -40
    assert event["metadata"]["rules"].startswith(f"{0:064},{1:064},")


def test_a_grants_key_is_its_subject_and_its_meter() -> None:
    grant = grant_of(1, meter="images")
    assert grant.key == grant_key(grant.subject, "images") == f"credits:order:{ORDER}:images"


@pytest.mark.parametrize(
    ("subject", "order_id"),
    [
        (order_subject(ORDER), ORDER),
        (refund_subject(ORDER, 300), ORDER),
        (cycle_subject(ORDER, datetime(2026, 11, 21, tzinfo=UTC)), None),
        (customer_subject(CUSTOMER), None),
        (customer_subject(CUSTOMER, "credits.order.bonus"), None),
        ("credits:manual:gift", None),
    ],
)
def test_only_an_orders_subjects_have_an_order(subject: str, order_id: str | None) -> None:
    assert order_of(subject) == order_id


# Take-backs, and grants that do not belong to one order


def test_a_take_back_is_positive_usage_with_its_reason() -> None:
    parts = (Part(rule="pack", units=Decimal("-2.5")), Part(rule="more", units=Decimal(-1)))
    grant = replace(grant_of(), subject=refund_subject(ORDER, 300), parts=parts)
    assert usage_event(grant) == {
        "name": "api_usage",
        "customer_id": CUSTOMER,
        "external_id": f"credits:refund:{ORDER}:300:api_usage",
        "metadata": {
            "units": 3.5,
            "granted_by": "credit-granter",
            "key": f"credits:refund:{ORDER}:300:api_usage",
            "order_id": ORDER,
            "rules": "pack,more",
            "reason": "refund",
        },
    }


def test_a_bonus_names_the_order_that_earned_it() -> None:
    grant = replace(grant_of(), subject=customer_subject(CUSTOMER, "bonus"))
    event = usage_event(grant)
    assert event["external_id"] == f"credits:customer:{CUSTOMER}:bonus:api_usage"
    assert event["metadata"]["order_id"] == ORDER
    assert "reason" not in event["metadata"]


def test_a_grant_without_an_order_names_none() -> None:
    """Polar refuses null in metadata."""
    start = datetime(2026, 11, 21, tzinfo=UTC)
    grant = replace(grant_of(), subject=cycle_subject(some_id(5), start), order_id=None)
    assert usage_event(grant)["metadata"] == {
        "units": -10,
        "granted_by": "credit-granter",
        "key": f"credits:cycle:{some_id(5)}:1795219200:api_usage",
        "rules": "rule-1",
    }


@given(st.lists(amounts, min_size=1, max_size=5))
def test_a_take_back_is_sent_exactly(units: list[Decimal]) -> None:
    assert sent(*[-one for one in units]) == sum(units)
