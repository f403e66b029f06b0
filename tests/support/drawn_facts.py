"""Hypothesis strategies: facts with their trigger."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from msgspec import to_builtins

from config.rules import ORDER_TRIGGERS, PERIOD_TRIGGERS, Trigger
from tests.support.drawing import CREATED, PRODUCTS, mostly
from workers.core.facts import Fact, customer_fact, new_subscription_fact, order_fact, period_fact
from workers.core.payloads import Customer, NewSubscription, Order, Period, Read, Subscription

T = TypeVar("T")

_seldom = mostly(st.just(False), st.just(True))


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
    shown = draw(mostly(_spans(), st.none()))
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
        product_id=draw(mostly(st.sampled_from(PRODUCTS), st.none())),
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
    days = draw(mostly(st.integers(1, 800), st.integers(0, 20_000)))
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


_products = st.none() | st.sampled_from(PRODUCTS)
_seats = st.none() | st.integers(0, 9)


def _before(draw: st.DrawFn) -> datetime:
    return CREATED - _span(draw, at_least=0)


def _span(draw: st.DrawFn, *, at_least: int) -> timedelta:
    return timedelta(microseconds=draw(st.integers(at_least, 10**13)))
