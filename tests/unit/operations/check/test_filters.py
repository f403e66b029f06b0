"""No filter is called right that one of our events would not pass."""

import operator
from collections.abc import Callable
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from config.rules import Meter
from tests.support.builders import grant_of
from tests.support.catalogues import both, clause, either, meter
from tests.support.drawn_grants import grants
from workers.core.grants import Grant
from workers.core.usage_events import usage_event
from workers.polar.catalogue import PolarMeter
from workers.polar.meter_match import closest_matches

WANTED = Meter(name="api_usage")

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "like": lambda ours, value: str(value) in str(ours),
    "not_like": lambda ours, value: str(value) not in str(ours),
}
VALUES = ["api_usage", "api", "user", "system", "credit-granter", "rule-1", -10, 0, 10, True]

# Half of the conditions are of the kind that can be met for certain, lest nearly no filter is right.
CLAUSES = st.builds(
    clause,
    st.sampled_from(["name", "source", "granted_by", "units", "key", "order_id", "rules", "plan"]),
    st.sampled_from([*COMPARISONS, "of_next_year"]),
    st.sampled_from(VALUES),
) | st.builds(
    clause,
    st.sampled_from(["name", "source", "granted_by"]),
    st.sampled_from(["eq", "ne", "like"]),
    st.sampled_from(["api_usage", "user", "credit-granter"]),
)
FILTERS = st.recursive(
    st.lists(CLAUSES, min_size=1, max_size=3).map(lambda clauses: both(*clauses)),
    lambda inner: st.builds(
        lambda join, clauses: join(*clauses),
        st.sampled_from([both, either]),
        st.lists(CLAUSES | inner, max_size=3),
    ),
    max_leaves=8,
)


@given(node=FILTERS, granted=grants(most=3))
def test_whatever_a_filter_is_made_of_what_is_called_right_lets_our_events_pass(
    node: dict[str, Any], granted: list[Grant]
) -> None:
    assume(called_right(meter(filter=node)))
    assert all(passes(node, usage_event(one)) for one in granted)


def called_right(found: PolarMeter) -> bool:
    return [one.distance for one in closest_matches(WANTED, [found])] == [(0, 0)]


def passes(node: dict[str, Any], event: dict[str, Any]) -> bool:
    """Filter as Polar does: what an event does not have meets no condition, and kinds do not mix."""
    if "clauses" not in node:
        return holds(node, event)
    results = [passes(one, event) for one in node["clauses"]]
    return not results or (any if node["conjunction"] == "or" else all)(results)


def holds(node: dict[str, Any], event: dict[str, Any]) -> bool:
    ours = ({"name": event["name"], "source": "user"} | event["metadata"]).get(node["property"])
    if ours is None or isinstance(ours, str) != isinstance(node["value"], str):
        return False
    compare = COMPARISONS.get(node["operator"])
    return compare is not None and bool(compare(ours, node["value"]))


def test_the_events_in_question_are_those_of_grants() -> None:
    event = usage_event(grant_of())
    assert passes(both(clause("name", "eq", "api_usage"), clause("units", "lt", 0)), event)
    assert not passes(both(clause("plan", "eq", "pro")), event)
