"""Hypothesis strategies: facts with their trigger, rules with the amounts that they give, and grants."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import strategies as st
from msgspec import to_builtins

from config.intervals import Every
from config.rules import ORDER_TRIGGERS, PERIOD_TRIGGERS, Rules, Trigger
from tests.support.builders import METERS, grant_of, rule, rules_of, some_id
from workers.core.facts import Fact, customer_fact, new_subscription_fact, order_fact, period_fact
from workers.core.grants import Grant
from workers.core.payloads import Customer, NewSubscription, Order, Period, Read, Subscription

T = TypeVar("T")
U = TypeVar("U")

PRODUCTS = [some_id(number) for number in range(100, 104)]
CREATED = datetime(2026, 11, 21, tzinfo=UTC)

amounts = st.one_of(
    st.integers(1, 10**6).map(Decimal),
    st.decimals("0.000001", "999999", places=6, allow_nan=False),
)
"""Amounts that a rules file may contain; a handful of them add up to less than 15 digits."""

rule_names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)


def _mostly(usual: st.SearchStrategy[T], odd: st.SearchStrategy[U]) -> st.SearchStrategy[T | U]:
    choices: list[st.SearchStrategy[T | U]] = [usual, usual, usual, odd]
    return st.sampled_from(choices).flatmap(lambda one: one)


_seldom = _mostly(st.just(False), st.just(True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A fact and its trigger; None if no trigger matches it."""

    fact: Fact
    trigger: Trigger | None
    product_id: str | None = None
    net_amount: int | None = None
    """None if the fact has no order."""
    seats: int = 1
    period: tuple[datetime, datetime] | None = None
    """From when until when the order has paid a subscription; None if its webhook does not show it."""

    @property
    def customer_id(self) -> str:
        """Return the id of the fact's customer."""
        return self.fact.customer_id


@st.composite
def orders(draw: st.DrawFn, triggers: Collection[Trigger] = ORDER_TRIGGERS) -> Known:
    """Draw a paid order with one of these triggers, or none, with matching times of its subscription."""
    trigger = draw(st.sampled_from(sorted(triggers)))
    reason = "subscription_create" if trigger is Trigger.TRIAL_START else trigger.value
    ended_at, trial = None, None
    if trigger is Trigger.TRIAL_START:
        trial = (_before(draw), CREATED + _span(draw, at_least=1))
    elif trigger is not Trigger.PURCHASE and draw(st.booleans()):
        trial = (_before(draw) - timedelta(days=400), _before(draw))  # converted since
    is_final = trigger is Trigger.SUBSCRIPTION_CYCLE and draw(_seldom)
    if is_final:
        ended_at = _before(draw)
    elif trigger is not Trigger.PURCHASE and draw(st.booleans()):
        ended_at = CREATED + _span(draw, at_least=1)  # cancelled since
    is_foreign = not is_final and trigger is not Trigger.TRIAL_START and draw(_seldom)
    shown = draw(_mostly(_spans(), st.none()))
    subscription = Subscription(
        ended_at=ended_at,
        trial_start=trial[0] if trial else None,
        trial_end=trial[1] if trial else None,
        id=str(draw(st.uuids())),
        current_period_start=shown[0] if shown else None,
        current_period_end=shown[1] if shown else None,
    )
    order = Order(
        id=str(draw(st.uuids())),
        created_at=CREATED,
        billing_reason="a_reason_of_next_year" if is_foreign else reason,
        customer_id=str(draw(st.uuids())),
        product_id=draw(_mostly(st.sampled_from(PRODUCTS), st.none())),
        subscription=None if trigger is Trigger.PURCHASE else subscription,
        net_amount=draw(st.integers(-1000, 10**5)),
    )
    own_seats, held_seats = draw(_seats), draw(_seats)
    raw = to_builtins(order) | {"seats": own_seats, "metadata": {}}
    if raw["subscription"] is not None:
        raw["subscription"]["seats"] = held_seats
    seats = [own_seats, held_seats if order.subscription else None, 1]
    span = trial if trigger is Trigger.TRIAL_START else shown
    return Known(
        fact=order_fact(_read(order, raw)),
        trigger=None if is_final or is_foreign else trigger,
        product_id=order.product_id,
        net_amount=order.net_amount,
        seats=next(one for one in seats if one is not None),
        period=_paid(order, span) if order.subscription else None,
    )


def _read(view: T, data: Mapping[str, Any]) -> Read[T]:
    return Read(view=view, body=json.dumps({"data": data}).encode())


def _paid(order: Order, span: tuple[datetime, datetime] | None) -> tuple[datetime, datetime] | None:
    """Return what an order has paid, to the millisecond: the rest of the period, if it changed a plan."""
    if order.product_id is None or span is None or span[0] >= span[1]:
        return None
    is_change = order.billing_reason == "subscription_update" and span[0] < order.created_at < span[1]
    begins, ends = order.created_at if is_change else span[0], span[1]
    return _in_milliseconds(begins), _in_milliseconds(ends)


def _in_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@st.composite
def _spans(draw: st.DrawFn) -> tuple[datetime, datetime]:
    """Draw a period around the creation of an order; some are longer than fifty years, some are empty."""
    begins = _before(draw)
    days = draw(_mostly(st.integers(1, 800), st.integers(0, 20_000)))
    return begins, begins + timedelta(days=days)


@st.composite
def periods(draw: st.DrawFn) -> Known:
    """Draw the start of a subscription's period."""
    seats = draw(_seats)
    period = Period(
        id=str(draw(st.uuids())),
        current_period_start=CREATED,
        customer_id=str(draw(st.uuids())),
        product_id=draw(_products),
    )
    raw = to_builtins(period) | {"seats": seats}
    return Known(
        fact=period_fact(_read(period, raw)),
        trigger=Trigger.PERIOD,
        product_id=period.product_id,
        seats=1 if seats is None else seats,
    )


@st.composite
def new_subscriptions(draw: st.DrawFn) -> Known:
    """Draw a subscription that was created without a trial."""
    seats = draw(_seats)
    subscription = NewSubscription(
        id=str(draw(st.uuids())),
        created_at=CREATED,
        customer_id=str(draw(st.uuids())),
        product_id=draw(_products),
    )
    raw = to_builtins(subscription) | {"seats": seats}
    return Known(
        fact=new_subscription_fact(_read(subscription, raw)),
        trigger=Trigger.SUBSCRIPTION,
        product_id=subscription.product_id,
        seats=1 if seats is None else seats,
    )


@st.composite
def customers(draw: st.DrawFn) -> Known:
    """Draw a new customer."""
    customer = Customer(id=str(draw(st.uuids())), created_at=CREATED)
    fact = customer_fact(_read(customer, to_builtins(customer)))
    return Known(fact=fact, trigger=Trigger.CUSTOMER)


def facts() -> st.SearchStrategy[Known]:
    """Draw any fact, whether or not a trigger matches it."""
    of_periods = orders(PERIOD_TRIGGERS)
    return st.one_of(of_periods, of_periods, orders(), periods(), new_subscriptions(), customers())


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
_products = st.none() | st.sampled_from(PRODUCTS)
_seats = st.none() | st.integers(0, 9)
_bounds = _mostly(st.none(), st.integers(-2, 2).map(lambda seconds: CREATED + timedelta(seconds=seconds)))


@st.composite
def _rules(draw: st.DrawFn, triggers: list[Trigger]) -> DrawnRule:
    few = st.lists(st.sampled_from(triggers), min_size=1, unique=True)
    of_orders = [one for one in triggers if one in ORDER_TRIGGERS]
    of_periods = [one for one in triggers if one in PERIOD_TRIGGERS]
    chosen = draw(_mostly(st.sampled_from([of_orders, of_periods, of_periods, triggers]), few))
    is_repeated = set(chosen) <= PERIOD_TRIGGERS and draw(_mostly(st.just(True), st.just(False)))
    # Avoid what the loader refuses, such as a refund that would take back a bonus or a welcome credit.
    products = _mostly(st.none(), st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=3, unique=True))
    once = not is_repeated and Trigger.CUSTOMER not in chosen and draw(st.booleans())
    revokes = not once and set(chosen) <= ORDER_TRIGGERS and draw(st.booleans())
    is_for_orders = not ORDER_TRIGGERS.isdisjoint(chosen)
    conditions = _order_conditions | _plain_conditions if is_for_orders else _plain_conditions
    units = _mostly(_plain_amounts, _order_amounts) if is_for_orders else _plain_amounts
    begins, ends = draw(_bounds), draw(_bounds)
    if begins and ends and begins >= ends:
        ends = None
    return DrawnRule(
        name=draw(rule_names),
        products=draw(st.none() if Trigger.CUSTOMER in chosen else products),
        triggers=chosen,
        grant=draw(st.dictionaries(st.sampled_from(list(METERS)), units, min_size=1)),
        when=draw(_mostly(st.none(), conditions)),
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


def grants(most: int) -> st.SearchStrategy[list[Grant]]:
    """Draw up to ``most`` grants, each of another order and customer, in any order."""
    numbers = st.lists(st.integers(1, 10_000), min_size=1, max_size=most, unique=True)
    return numbers.map(lambda those: [grant_of(n, n, customer_id=some_id(n)) for n in those])


def _before(draw: st.DrawFn) -> datetime:
    return CREATED - _span(draw, at_least=0)


def _span(draw: st.DrawFn, *, at_least: int) -> timedelta:
    return timedelta(microseconds=draw(st.integers(at_least, 10**13)))
