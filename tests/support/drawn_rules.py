"""Hypothesis strategies: rules with the amounts that they give."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from config.intervals import Every
from config.rules import ORDER_TRIGGERS, PERIOD_TRIGGERS, Rules, Trigger
from tests.support.builders import METERS, rule, rules_of
from tests.support.drawing import CREATED, PRODUCTS, mostly
from tests.support.drawn_facts import Known

amounts = st.one_of(
    st.integers(1, 10**6).map(Decimal),
    st.decimals("0.000001", "999999", places=6, allow_nan=False),
)
"""Amounts that a rules file may contain; a handful of them add up to less than 15 digits."""

rule_names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnAmount:
    """An amount as written in a rule, and its value; None if it cannot be computed."""

    text: str
    worth: Callable[[Known], Decimal | None] = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnCondition:
    """A condition as written in a rule, and whether it is true."""

    text: str
    holds: Callable[[Known], bool] = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnRule:
    """A rule before it is written to a file."""

    name: str
    products: list[str] | None
    triggers: list[Trigger]
    grant: dict[str, DrawnAmount]
    when: DrawnCondition | None
    once: bool
    revokes: bool
    every: Every | None
    begins: datetime | None
    ends: datetime | None


def _number(units: Decimal) -> DrawnAmount:
    return DrawnAmount(text=f"{units:f}", worth=lambda _: units)


def _by_seats(each: int) -> DrawnAmount:
    return DrawnAmount(text=f"seats * {each}", worth=lambda known: Decimal(known.seats * each))


def _by_money(for_nothing: int) -> DrawnAmount:
    """Return an amount of a credit per cent above ``for_nothing``; below, it is negative and so fails."""

    def worth(known: Known) -> Decimal | None:
        if known.net_amount is None or known.net_amount < for_nothing:
            return None
        return Decimal(known.net_amount - for_nothing)

    return DrawnAmount(text=f"order.net_amount - {for_nothing}", worth=worth)


def _of_some(cents: int) -> DrawnCondition:
    def holds(known: Known) -> bool:
        return known.net_amount is not None and known.net_amount >= cents

    return DrawnCondition(text=f"order.net_amount >= {cents}", holds=holds)


def _of_more_seats(seats: int) -> DrawnCondition:
    return DrawnCondition(text=f"seats > {seats}", holds=lambda known: known.seats > seats)


_NOWHERE = DrawnCondition(text="customer.metadata.nowhere == 1", holds=lambda _: False)
_plain_amounts = amounts.map(_number) | st.integers(0, 100).map(_by_seats)
_plain_conditions = st.integers(0, 5).map(_of_more_seats) | st.just(_NOWHERE)
# The loader refuses them in rules for facts without an order.
_order_amounts = st.integers(-5000, 500).map(_by_money)
_order_conditions = st.integers(-100, 10**4).map(_of_some)

_bounds = mostly(st.none(), st.integers(-2, 2).map(lambda seconds: CREATED + timedelta(seconds=seconds)))


@st.composite
def _rules(draw: st.DrawFn, triggers: list[Trigger]) -> DrawnRule:
    few = st.lists(st.sampled_from(triggers), min_size=1, unique=True)
    of_orders = [one for one in triggers if one in ORDER_TRIGGERS]
    of_periods = [one for one in triggers if one in PERIOD_TRIGGERS]
    chosen = draw(mostly(st.sampled_from([of_orders, of_periods, of_periods, triggers]), few))
    is_repeated = set(chosen) <= PERIOD_TRIGGERS and draw(mostly(st.just(True), st.just(False)))
    # Avoid what the loader refuses, such as a refund that would take back a bonus or a welcome credit.
    products = mostly(st.none(), st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=3, unique=True))
    once = not is_repeated and Trigger.CUSTOMER not in chosen and draw(st.booleans())
    revokes = not once and set(chosen) <= ORDER_TRIGGERS and draw(st.booleans())
    is_for_orders = not ORDER_TRIGGERS.isdisjoint(chosen)
    conditions = _order_conditions | _plain_conditions if is_for_orders else _plain_conditions
    units = mostly(_plain_amounts, _order_amounts) if is_for_orders else _plain_amounts
    begins, ends = draw(_bounds), draw(_bounds)
    if begins and ends and begins >= ends:
        ends = None
    return DrawnRule(
        name=draw(rule_names),
        products=draw(st.none() if Trigger.CUSTOMER in chosen else products),
        triggers=chosen,
        grant=draw(st.dictionaries(st.sampled_from(list(METERS)), units, min_size=1)),
        when=draw(mostly(st.none(), conditions)),
        once=once,
        revokes=revokes,
        every=draw(st.sampled_from(Every)) if is_repeated else None,
        begins=begins,
        ends=ends,
    )


def rule_sets() -> st.SearchStrategy[list[DrawnRule]]:
    """Draw rules with different names; cycles and starts are credited either by their order or without it."""

    def without(*left_out: Trigger) -> st.SearchStrategy[list[DrawnRule]]:
        triggers = [one for one in Trigger if one not in left_out]
        drawn = st.lists(_rules(triggers), min_size=1, max_size=6, unique_by=lambda drawn: drawn.name)
        return drawn.map(_agreed)

    cycle = st.sampled_from([(Trigger.PERIOD,), (Trigger.SUBSCRIPTION_CYCLE,)])
    start = st.sampled_from([(Trigger.SUBSCRIPTION,), (Trigger.SUBSCRIPTION_CREATE, Trigger.TRIAL_START)])
    return st.tuples(cycle, start).flatmap(lambda drawn: without(*drawn[0], *drawn[1]))


def _agreed(drawn: list[DrawnRule]) -> list[DrawnRule]:
    """Return the rules, each with the ``every`` of those before it on the same meters: others are refused."""
    known: dict[str, Every] = {}
    agreed = []
    for one in drawn:
        every = one.every
        if every is not None:
            wanted = {known.get(meter, every) for meter in one.grant}
            every = wanted.pop() if len(wanted) == 1 else None
        known |= dict.fromkeys(one.grant, every) if every else {}
        agreed.append(replace(one, every=every))
    return agreed


def line_of(drawn: DrawnRule) -> str:
    """Return the rule as a line of a rules file."""
    others: dict[str, Any] = {
        "products": drawn.products,
        "triggers": [str(each) for each in drawn.triggers],
        "when": drawn.when.text if drawn.when else None,
        "once_per": "customer" if drawn.once else None,
        "on_refund": "revoke" if drawn.revokes else None,
        "every": drawn.every,
        "from": drawn.begins.isoformat() if drawn.begins else None,
        "until": drawn.ends.isoformat() if drawn.ends else None,
    }
    grant = {meter: amount.text for meter, amount in drawn.grant.items()}
    return rule(drawn.name, grant, **{key: value for key, value in others.items() if value is not None})


def written(drawn: list[DrawnRule]) -> Rules:
    """Return the parsed rules of a file with ``drawn`` in this order."""
    return rules_of(*map(line_of, drawn))
