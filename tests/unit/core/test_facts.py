"""A webhook becomes a fact: what happened, to whom, when, and under which key."""

import calendar
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.rules import Trigger
from tests.support.builders import fact_like, order_like, some_id, webhook
from tests.support.recorded_triggers import CONVERTED, CREATED, CYCLED, FINAL, KINDS, PAID, REFUNDED, TRIAL
from tests.support.recordings import payload
from workers.core.delivery_plans import refund_plan
from workers.core.facts import fact_of
from workers.core.grants import cycle_subject
from workers.core.payloads import Subscription

SUBSCRIBED = [name for name in PAID if json.loads(payload(name))["data"]["subscription"]]


def data_of(name: str) -> Any:
    return json.loads(payload(name))["data"]


def subscription_of(name: str) -> Subscription:
    subscription = order_like(name).subscription
    assert subscription is not None
    return subscription


def test_the_table_names_every_paid_order_that_polar_sent() -> None:
    assert sorted(KINDS) == PAID
    assert (len(PAID), len(CYCLED), len(CREATED), len(REFUNDED)) == (32, 6, 3, 4)


@pytest.mark.parametrize("name", PAID)
def test_a_paid_order_is_a_fact_about_itself(name: str) -> None:
    sent, fact = data_of(name), fact_like(name)
    assert fact.subject == f"credits:order:{sent['id']}"
    assert (fact.order_id, fact.customer_id, fact.product_id) == (
        sent["id"],
        sent["customer_id"],
        sent["product_id"],
    )
    assert fact.moment == datetime.fromisoformat(sent["created_at"])
    assert (fact.trigger, fact.refund) == (KINDS[name], None)
    assert bool(fact.why_never) is (KINDS[name] is None)


@pytest.mark.parametrize("name", CYCLED)
def test_a_period_is_a_fact_about_its_subscription_and_its_start(name: str) -> None:
    sent, fact = data_of(name), fact_like(name)
    start = datetime.fromisoformat(sent["current_period_start"])
    assert fact.subject == f"credits:cycle:{sent['id']}:{calendar.timegm(start.utctimetuple())}"
    assert (fact.customer_id, fact.product_id) == (sent["customer_id"], sent["product_id"])
    assert (fact.moment, fact.trigger) == (start, Trigger.PERIOD)
    assert (fact.order_id, fact.refund, fact.why_never) == (None, None, "")


def test_two_periods_of_one_subscription_are_two_facts() -> None:
    subjects = {fact_like(name).subject for name in ("subscription_cycled", "subscription_cycled_2")}
    assert len(subjects) == 2


def test_a_resumed_subscription_begins_the_period_that_subscription_cycled_would_begin() -> None:
    """The same period under the other name is the same fact, so that it is credited once."""
    body = webhook("subscription_resumed")
    resumed, cycled = fact_of("subscription.resumed", body), fact_of("subscription.cycled", body)
    assert resumed is not None
    assert cycled is not None
    assert (resumed.subject, resumed.moment, resumed.trigger) == (
        cycled.subject,
        cycled.moment,
        cycled.trigger,
    )


@pytest.mark.parametrize("name", CREATED)
def test_a_new_subscription_is_a_fact_about_itself(name: str) -> None:
    sent, fact = data_of(name), fact_like(name)
    assert fact.subject == f"credits:subscription:{sent['id']}"
    assert (fact.customer_id, fact.product_id) == (sent["customer_id"], sent["product_id"])
    assert fact.moment == datetime.fromisoformat(sent["created_at"])
    assert (fact.trigger, fact.order_id, fact.refund, fact.why_never) == (
        Trigger.SUBSCRIPTION,
        None,
        None,
        "",
    )
    assert fact.begins_with_trial is (sent["status"] == "trialing")


def test_a_new_subscription_whose_trial_is_over_does_not_begin_with_a_trial() -> None:
    created_at = data_of("subscription_created_trialing")["created_at"]
    assert not fact_like("subscription_created_trialing", trial_end=created_at).begins_with_trial


def test_a_new_customer_is_a_fact_about_them() -> None:
    sent, fact = data_of("customer_created"), fact_like("customer_created")
    assert fact.subject == f"credits:customer:{sent['id']}"
    assert (fact.customer_id, fact.trigger) == (sent["id"], Trigger.CUSTOMER)
    assert fact.moment == datetime.fromisoformat(sent["created_at"])
    assert (fact.product_id, fact.order_id, fact.refund, fact.why_never) == (None, None, None, "")


@pytest.mark.parametrize("name", REFUNDED)
def test_a_refund_grants_nothing_and_is_recorded_with_its_order(name: str) -> None:
    sent = data_of(name)
    assert fact_of("order.refunded", payload(name)) is None
    plan = refund_plan(payload(name))
    assert (plan.subject, plan.order_id) == (f"credits:order:{sent['id']}", sent["id"])
    assert (plan.customer_id, plan.grants) == (sent["customer_id"], ())
    assert plan.refund is not None
    assert plan.refund.amount == sent["refunded_amount"]
    assert plan.refund.share * sent["net_amount"] == sent["refunded_amount"]


@pytest.mark.parametrize("type_", ["order.created", "order.updated", "customer.updated", "next.year", ""])
def test_webhooks_of_other_types_are_no_facts(type_: str) -> None:
    assert fact_of(type_, payload("order_paid_purchase")) is None


def test_an_order_read_after_its_refund_includes_the_refund() -> None:
    refund = fact_like(refunded_amount=250, status="partially_refunded").refund
    assert refund is not None
    assert (refund.amount, refund.share) == (250, Fraction(1, 4))


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        *((name, "order") for name in PAID),
        *((name, "subscription") for name in CYCLED + CREATED),
        ("customer_created", "customer"),
    ],
)
def test_expressions_see_everything_that_was_sent(name: str, variable: str) -> None:
    assert fact_like(name).variables.values[variable] == data_of(name)


# The key of a period

moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.timezones())  # noqa: DTZ001


@given(moments)
def test_a_periods_key_has_its_start_in_whole_epoch_seconds(start: datetime) -> None:
    subject = cycle_subject(some_id(1), start)
    seconds = (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    assert subject == f"credits:cycle:{some_id(1)}:{seconds}"


@given(moments)
def test_the_time_zone_and_fraction_of_a_start_do_not_change_its_key(start: datetime) -> None:
    elsewhere = start.astimezone(UTC).replace(microsecond=0)
    assert cycle_subject(some_id(1), start) == cycle_subject(some_id(1), elsewhere)


# An order's trigger depends only on fields that never change


def test_a_subscription_bought_at_the_end_of_its_trial_is_a_creation() -> None:
    end = subscription_of(TRIAL).trial_end
    assert end is not None
    assert fact_like(TRIAL, created_at=end.isoformat()).trigger is Trigger.SUBSCRIPTION_CREATE


def test_the_first_paid_cycle_after_a_trial_is_a_cycle_from_the_end_of_the_trial() -> None:
    end = subscription_of(CONVERTED).trial_end
    assert end is not None
    assert fact_like(CONVERTED, created_at=end.isoformat()).trigger is Trigger.SUBSCRIPTION_CYCLE


def test_a_cycle_created_the_moment_its_subscription_ended_is_a_final_invoice() -> None:
    end = subscription_of(FINAL).ended_at
    assert end is not None
    just_before = end - timedelta(microseconds=1)
    assert fact_like(FINAL, created_at=end.isoformat()).trigger is None
    assert fact_like(FINAL, created_at=just_before.isoformat()).trigger is Trigger.SUBSCRIPTION_CYCLE


@st.composite
def later_views(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Draw the subscription of a real order, as the orders API may show it later."""
    order = order_like(name)
    sent = data_of(name)["subscription"]
    after = st.timedeltas(timedelta(microseconds=1), timedelta(days=900)).map(
        lambda span: (order.created_at + span).isoformat()
    )
    changed = {
        "status": draw(st.sampled_from(["active", "past_due", "canceled", "unpaid", "trialing", "paused"])),
        "seats": draw(st.none() | st.integers(1, 100)),
        "amount": draw(st.integers(0, 10**6)),
        "product_id": draw(st.sampled_from([some_id(7), sent["product_id"]])),
        "cancel_at_period_end": draw(st.booleans()),
        "canceled_at": draw(st.none() | after),
        "current_period_start": draw(after),
        "current_period_end": draw(after),
    }
    if sent["ended_at"] is None:
        changed["ended_at"] = draw(st.none() | after)  # cancelled since
    if sent["trial_start"] is None and draw(st.booleans()):
        changed |= {"trial_start": draw(after), "trial_end": draw(after)}  # a trial was added since
    return dict(sent) | changed


@pytest.mark.parametrize("name", SUBSCRIBED)
@given(data=st.data())
def test_the_orders_api_and_the_webhook_agree_on_an_orders_trigger(name: str, data: st.DataObject) -> None:
    """The API shows the subscription as of today, even for an old order."""
    shown = fact_like(name, subscription=data.draw(later_views(name)))
    assert shown.trigger is KINDS[name]
