"""A grant read back from Polar equals the one sent; an event that we cannot have sent is refused."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import CUSTOMER, ORDER, some_id
from tests.support.drawn_rules import amounts, rule_names
from workers.core.grants import (
    NO_RULE,
    Grant,
    Part,
    customer_subject,
    cycle_subject,
    manual_subject,
    offer_customer_subject,
    offer_key_subject,
    order_subject,
    refund_subject,
    revoke_subject,
    subscription_subject,
)
from workers.core.recorded_grants import InvalidUsageEvent, RecordedGrant
from workers.core.usage_events import read_usage_event, usage_event

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
METERS = ["api_usage", "api usage: 1%", "größe"]


def shown(grant: Grant, **others: Any) -> dict[str, Any]:
    """Return the event of a grant, as Polar lists it: only the metadata has its key."""
    event = {name: one for name, one in usage_event(grant).items() if name != "external_id"}
    return {"id": some_id(7), "source": "user", "timestamp": AT.isoformat(), **event, **others}


def credit(subject: str = order_subject(ORDER), **others: Any) -> Grant:
    order_id = ORDER if ORDER in subject else None
    usual: dict[str, Any] = {
        "subject": subject,
        "customer_id": CUSTOMER,
        "meter": "api_usage",
        "property_name": "units",
        "parts": (Part(rule="pack", units=Decimal(10)),),
        "order_id": order_id,
    }
    return Grant(**usual | others)


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    """Draw a grant of any kind, with one part."""
    meter, units, rule = draw(st.sampled_from(METERS)), draw(amounts), draw(rule_names)
    order_id: str | None = ORDER
    sign, reason = 1, ""
    kinds = ["order", "cycle", "start", "bonus", "welcome", "offer", "gift", "hand", "refund", "revoke"]
    match draw(st.sampled_from(kinds)):
        case "order":
            subject = order_subject(ORDER)
        case "cycle":
            subject, order_id = cycle_subject(some_id(3), AT), None
        case "start":
            subject, order_id = subscription_subject(some_id(3)), None
        case "bonus":
            subject = customer_subject(CUSTOMER, rule)
        case "welcome":
            subject, order_id = customer_subject(CUSTOMER, rule), None
        case "offer":
            subject, order_id = offer_key_subject(rule, "invitation-1"), None
        case "gift":
            subject, order_id = offer_customer_subject(rule, CUSTOMER), None
        case "hand":
            subject, order_id, rule = manual_subject("beta-1", "user%3A1", meter), None, NO_RULE
            reason = draw(st.sampled_from(["", "why not", "refund"]))
        case "refund":
            subject, sign = refund_subject(ORDER, draw(st.integers(0, 10**6))), -1
        case _:
            subject, sign = revoke_subject(ORDER, meter), -1
    return credit(
        subject,
        meter=meter,
        property_name=draw(st.sampled_from(["units", "amount"])),
        parts=(Part(rule=rule, units=sign * units),),
        order_id=order_id,
        reason=reason,
    )


@given(grants())
def test_every_grant_is_read_back_unchanged(grant: Grant) -> None:
    trace = read_usage_event(shown(grant))
    assert isinstance(trace, RecordedGrant)
    assert (trace.grant, trace.at, trace.event_id) == (grant, AT, some_id(7))
    assert trace.grant.key == grant.key


def test_several_rules_come_back_as_one_part_with_all_their_names() -> None:
    parts = (Part(rule="b", units=Decimal("0.5")), Part(rule="a", units=Decimal(2), revocable=True))
    trace = read_usage_event(shown(credit(parts=parts)))
    assert isinstance(trace, RecordedGrant)
    assert trace.grant.parts == (Part(rule="b,a", units=Decimal("2.5")),)


def metadata(**others: Any) -> dict[str, Any]:
    """Return the usual metadata with some values replaced, or removed if None."""
    whole = shown(credit())["metadata"] | others
    return {name: one for name, one in whole.items() if one is not None}


KEY = f"credits:order:{ORDER}:api_usage"
OF_ANOTHER = f"credits:customer:{some_id(1)}:pack:api_usage"
NO_KEY = "its key is not one that we write for meter api_usage"
NO_NUMBER = "it has no number of credits"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"metadata": metadata(key=None)}, NO_KEY),
        ({"metadata": metadata(key=7)}, NO_KEY),
        ({"metadata": metadata(key="credits:order:api_usage")}, NO_KEY),
        ({"metadata": metadata(key=KEY.replace(ORDER, "x"))}, NO_KEY),
        ({"metadata": metadata(key=KEY.replace("order", "other"))}, NO_KEY),
        ({"metadata": metadata(key=KEY + "s")}, NO_KEY),
        ({"metadata": metadata(key=f"{KEY}:api_usage")}, NO_KEY),
        ({"metadata": metadata(key=f"credits:refund:{ORDER}:api_usage")}, NO_KEY),
        ({"metadata": metadata(key=f"credits:revoke:{ORDER}:300:api_usage")}, NO_KEY),
        ({"metadata": metadata(key="credits:manual:be ta:user:api_usage")}, NO_KEY),
        ({"name": "images"}, NO_KEY.replace("api_usage", "images")),
        ({"metadata": metadata(units=None)}, NO_NUMBER),
        ({"metadata": metadata(units="-10")}, NO_NUMBER),
        ({"metadata": metadata(units=True)}, NO_NUMBER),
        ({"metadata": metadata(units=0)}, NO_NUMBER),
        ({"metadata": metadata(units=float("nan"))}, NO_NUMBER),
        ({"metadata": metadata(units=-(10**26))}, NO_NUMBER),  # more than a rule can grant
        ({"metadata": metadata(other=1)}, "it has more than one number"),
        ({"metadata": metadata(units=10)}, "it takes credits back, but its key is that of a grant"),
        (
            {"metadata": metadata(key=f"credits:refund:{ORDER}:300:api_usage")},
            "it grants credits, but its key is that of a take-back",
        ),
        ({"metadata": metadata(order_id=None)}, "the order in its key is not its order_id"),
        ({"metadata": metadata(order_id=some_id(1))}, "the order in its key is not its order_id"),
        (
            {"metadata": metadata(key=f"credits:cycle:{ORDER}:1:api_usage")},
            "the order in its key is not its order_id",
        ),
        ({"metadata": metadata(key=OF_ANOTHER)}, "its key names another customer"),
        ({"metadata": metadata(rules=None)}, "it names no rules"),
        ({"metadata": metadata(rules="a b")}, "it names no rules"),
        ({"customer_id": None}, "it names no customer"),
    ],
)
def test_an_event_that_cannot_be_ours_is_refused_with_a_reason(row: dict[str, Any], why: str) -> None:
    told = read_usage_event(shown(credit()) | row)
    assert isinstance(told, InvalidUsageEvent)
    assert told.why == why


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"name": 1},
        {"name": "two\nlines"},
        {"customer_id": "somebody"},
        {"timestamp": "yesterday"},
        {"metadata": None},
        {"metadata": []},
    ],
)
def test_an_unreadable_event_is_refused_with_the_field_that_cannot_be_read(row: dict[str, Any]) -> None:
    told = read_usage_event(shown(credit()) | row if row else {})
    assert isinstance(told, InvalidUsageEvent)
    assert told.why.startswith("it cannot be read: ")


@given(
    st.dictionaries(
        st.sampled_from(["id", "name", "customer_id", "timestamp", "metadata"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_no_row_of_polars_list_raises(row: dict[str, Any]) -> None:
    assert isinstance(read_usage_event(row), InvalidUsageEvent)
    assert isinstance(read_usage_event(shown(credit()) | row), InvalidUsageEvent | RecordedGrant)
