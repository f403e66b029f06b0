"""What Polar says a customer has stands beside what our ledger gave, meter by meter."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.builders import grant_of
from tests.support.recordings import recorded
from workers.core.claims import Entry
from workers.core.sums import sum_up
from workers.errors import PolarUnreachableError
from workers.operations.balance import Balance, match_balances

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ROWS: list[dict[str, Any]] = recorded("customer_meters")["body"]["items"]  # 50 api_usage, 0 image_generation


def entry(units: int, meter: str = "api_usage", *, granted: bool = True) -> Entry:
    grant = grant_of(1, units, meter=meter)
    return Entry(grant=grant, delivery_id="msg", claimed_at=NOW, granted_at=NOW if granted else None)


def renamed(**others: Any) -> dict[str, Any]:
    """Return Polar's row for api_usage with a meter that differs."""
    return ROWS[1] | {"meter": ROWS[1]["meter"] | others}


def test_granted_and_taken_back_stand_beside_what_is_left() -> None:
    entries = [entry(40), entry(20), entry(-10), entry(5, granted=False)]
    usage, image = match_balances(ROWS, sum_up(entries))
    assert usage == Balance(
        meter="api_usage",
        polar_meter="api_usage",
        balance=Decimal(50),
        granted=Decimal(60),
        taken_back=Decimal(10),
        not_at_polar_yet=Decimal(5),
    )
    assert image == Balance(meter="image_generation", polar_meter="image_generation", balance=Decimal(0))


def test_a_meter_is_found_by_what_it_sums_whatever_people_call_it() -> None:
    (told,) = match_balances([renamed(name="API calls")], sum_up([entry(40)]))
    assert (told.meter, told.polar_meter, told.balance) == ("api_usage", "API calls", Decimal(50))


@pytest.mark.parametrize(
    "aggregation",
    [{"func": "count"}, {"func": "sum", "property": "tokens"}, {"func": "max", "property": "units"}],
)
def test_a_meter_that_does_not_add_up_our_credits_stands_alone(aggregation: dict[str, str]) -> None:
    told = match_balances([renamed(aggregation=aggregation)], sum_up([entry(40)]))
    assert {one.balance: one.granted for one in told} == {Decimal(50): Decimal(0), None: Decimal(40)}


def test_before_polars_first_event_there_is_the_ledger_alone() -> None:
    (told,) = match_balances([], sum_up([entry(40)]))
    assert (told.balance, told.polar_meter, told.granted) == (None, None, Decimal(40))


def test_who_has_nothing_is_told_nothing() -> None:
    assert match_balances([], {}) == []


@pytest.mark.parametrize("successor", [[], [renamed(name="API calls")]])
def test_a_meter_in_the_archive_keeps_its_credits_unless_another_sums_them(
    successor: list[dict[str, Any]],
) -> None:
    archived = renamed(archived_at=NOW.isoformat()) | {"balance": 7}
    told = match_balances([archived, *successor], sum_up([entry(40)]))
    by_name = {one.polar_meter: (one.balance, one.granted) for one in told}
    assert by_name == (
        {"API calls": (Decimal(50), Decimal(40)), "api_usage": (Decimal(7), Decimal(0))}
        if successor
        else {"api_usage": (Decimal(7), Decimal(40))}
    )


@pytest.mark.parametrize(
    "row",
    [{}, {"meter": None}, {"balance": True}, {"balance": "50"}, {"balance": float("nan")}, {"meter": {}}],
)
def test_an_answer_that_is_no_balance_is_a_fault(row: dict[str, Any]) -> None:
    with pytest.raises(PolarUnreachableError):
        match_balances([ROWS[0] | row if row else row], {})
