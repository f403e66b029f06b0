"""Outcomes of deliveries: credited once, by the first claim, or a reason why not."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from config.rules import Rules
from tests.support.builders import CUSTOMER, PRODUCT, order_like, order_webhook, rule, rules_of, some_id
from tests.support.fake_service import (
    BOTH_METERS,
    NOBODY,
    TEN,
    TOO_EXACT,
    TWENTY,
    crash,
    purchases,
    shop_with,
)
from tests.support.killed import KilledError
from tests.support.recordings import payload
from workers.core.delivery import Status
from workers.errors import PolarRefusedError
from workers.timings import DEFAULT_TIMINGS

SUBJECT = f"credits:order:{order_like().id}"

# What a delivery comes to


def test_a_paid_order_becomes_credit() -> None:
    shop = shop_with(order_webhook())
    outcome = shop.work()["msg-1"]
    assert shop.polar.balance(CUSTOMER) == 10
    assert (outcome.status, outcome.order_id, outcome.customer_id) == (
        Status.GRANTED,
        order_like().id,
        CUSTOMER,
    )
    assert shop.store.audit == [f"{SUBJECT}:api_usage"]


def test_many_deliveries_go_in_one_request() -> None:
    shop = shop_with(*purchases(DEFAULT_TIMINGS.deliveries_per_lease))
    assert {one.status for one in shop.work().values()} == {Status.GRANTED}
    assert [len(sent) for sent in shop.polar.requests] == [DEFAULT_TIMINGS.deliveries_per_lease]


def test_the_outcomes_of_a_lease_are_told_together() -> None:
    shop, told = shop_with(*purchases(3)), []

    @contextmanager
    def telling() -> Iterator[None]:
        with capture_logs() as lines:
            yield
        told.append([(line["event"], line["delivery"]) for line in lines])

    replace(shop.granter, telling=telling).run(shop.store.lease(3))
    assert told == [[("granted", "msg-1"), ("granted", "msg-2"), ("granted", "msg-3")]]


@pytest.mark.parametrize("body", [b"", b"not json", b"{}", b'{"type": "order.paid"}'])
def test_a_body_that_cannot_be_read_fails_with_the_reason(body: bytes) -> None:
    outcome = shop_with(body).work()["msg-1"]
    assert outcome.status is Status.FAILED
    assert outcome.reason.startswith("the body cannot be read: ")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "order_refunded_full",
            "this order has not been credited yet: the refund counts when the order is credited",
        ),
        ("subscription_cycled", "no rule for product 2a31c4dd-"),
        ("customer_created", "no rule has the trigger customer.created"),
    ],
)
def test_what_no_rule_is_for_is_skipped_and_says_so(name: str, reason: str) -> None:
    shop = shop_with(payload(name))
    outcome = shop.work()["msg-1"]
    assert outcome.status is Status.SKIPPED
    assert outcome.reason.startswith(reason)
    assert shop.polar.requests == []


def test_a_type_that_is_not_stored_these_days_is_skipped() -> None:
    """An older receiver, or a newer one, may have stored it."""
    outcome = shop_with(payload("order_created_paid_purchase")).work()["msg-1"]
    assert (outcome.status, outcome.reason) == (
        Status.SKIPPED,
        "order.created is ignored: no rule can credit it",
    )


def test_a_period_becomes_credit_once_whatever_order_follows() -> None:
    line = rule("included", {"api_usage": 10}, triggers=["subscription.cycled"])
    shop = shop_with(payload("subscription_cycled"), rules=rules_of(line))
    outcome = shop.work()["msg-1"]
    assert (outcome.status, outcome.reason, outcome.order_id) == (Status.GRANTED, "10 api_usage", "")
    shop.receive("msg-2", payload("subscription_cycled"))
    shop.receive("msg-3", payload("subscription_cycled_2"))  # the next period
    shop.receive("msg-4", payload("order_paid_subscription_cycle"))
    ends = [one.status for one in shop.work().values()]
    assert ends == [Status.SKIPPED, Status.GRANTED, Status.SKIPPED]
    assert shop.polar.balance(outcome.customer_id) == 20


def test_one_amount_that_cannot_be_worked_out_fails_the_delivery_before_anything_is_granted() -> None:
    lines = rule("pack", {"api_usage": 10}), rule("odd", {"images": "order.net_amount - 5000"})
    shop = shop_with(order_webhook(), rules=rules_of(*lines))
    outcome = shop.work()["msg-1"]
    assert outcome.status is Status.FAILED
    assert outcome.reason.startswith("rule odd, images: order.net_amount - 5000")
    assert (shop.polar.requests, shop.store.claims) == ([], {})
    shop.rules = TEN
    assert shop.replay("msg-1")["msg-1"].status is Status.GRANTED


def test_an_order_that_no_rule_matches_is_skipped_and_nothing_is_frozen() -> None:
    shop = shop_with(order_webhook(), rules=NOBODY)
    outcome = shop.work()["msg-1"]
    assert (outcome.status, outcome.reason) == (Status.SKIPPED, f"no rule names product {PRODUCT}")
    assert shop.store.claims == {}
    shop.rules = TEN
    assert shop.replay("msg-1")["msg-1"].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10


def test_a_fault_in_planning_fails_that_delivery_alone() -> None:
    broken = rules_of(
        rule("pack", {"api_usage": 10}, products=[PRODUCT]),
        rule("new", {"images": 1}, triggers=["trial_start"]),
    )
    # No rules file can have this: a rule with an unknown meter.
    broken = replace(broken, meters={"api_usage": broken.meters["api_usage"]})
    shop = shop_with(payload("order_paid_trial_start_zero"), order_webhook(), rules=broken)
    outcomes = shop.work()
    assert outcomes["msg-1"].status is Status.FAILED
    assert outcomes["msg-1"].reason == "planning failed: KeyError: 'images'"
    assert outcomes["msg-2"].status is Status.GRANTED


def test_what_polar_refuses_fails_and_can_be_replayed_when_it_is_mended() -> None:
    shop = shop_with(*purchases(3))
    shop.polar.known = lambda customer_id: customer_id != some_id(2)
    outcomes = shop.work()
    assert [one.status for one in outcomes.values()] == [Status.GRANTED, Status.FAILED, Status.GRANTED]
    assert outcomes["msg-2"].reason == "refused by Polar: customer_id: Customer does not exist."
    shop.polar.known = lambda customer_id: True
    assert shop.replay("msg-2")["msg-2"].status is Status.GRANTED
    assert [shop.polar.balance(some_id(n)) for n in (1, 2, 3)] == [10, 10, 10]


def test_of_two_meters_the_one_that_polar_takes_is_granted_though_the_delivery_fails() -> None:
    shop = shop_with(order_webhook(), rules=BOTH_METERS)
    shop.polar.script = [PolarRefusedError("Polar answered 422", named={1: "name: is reserved"})]
    outcome = shop.work()["msg-1"]
    assert (outcome.status, outcome.reason) == (Status.FAILED, "refused by Polar: name: is reserved")
    assert shop.store.audit == [f"{SUBJECT}:api_usage"]
    assert shop.replay("msg-1")["msg-1"].status is Status.GRANTED
    assert [len(sent) for sent in shop.polar.requests] == [2, 1, 1]  # the replay sends the unsettled one
    assert shop.polar.balance(CUSTOMER, "images") == 5


# One order, told twice


def test_two_deliveries_of_one_order_in_one_share_are_one_credit() -> None:
    shop = shop_with(order_webhook(), order_webhook())
    outcomes = shop.work()
    assert outcomes["msg-1"].status is Status.GRANTED
    assert outcomes["msg-2"].status is Status.SKIPPED
    assert outcomes["msg-2"].reason.startswith("already granted: claimed by delivery msg-1 at 2026-11-21T")
    assert [len(sent) for sent in shop.polar.requests] == [1]
    assert shop.polar.balance(CUSTOMER) == 10


def test_a_second_delivery_of_an_order_long_credited_asks_polar_nothing() -> None:
    shop = shop_with(order_webhook())
    shop.work()
    shop.receive("msg-2", order_webhook())
    assert shop.work()["msg-2"].status is Status.SKIPPED
    assert len(shop.polar.requests) == 1


def test_a_second_spelling_of_an_orders_id_is_the_same_order() -> None:
    shop = shop_with(order_webhook(), order_webhook(id=order_like().id.upper()))
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 10
    assert len(shop.polar.events) == 1


def test_a_second_delivery_can_finish_what_the_first_could_not() -> None:
    shop = shop_with(order_webhook())
    shop.polar.known = lambda customer_id: False
    assert shop.work()["msg-1"].status is Status.FAILED
    shop.polar.known = lambda customer_id: True
    shop.receive("msg-2", order_webhook())
    assert shop.work()["msg-2"].status is Status.GRANTED
    assert shop.replay("msg-1")["msg-1"].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10


def test_a_replay_of_what_was_granted_changes_nothing() -> None:
    shop = shop_with(order_webhook())
    shop.work()
    assert shop.replay("msg-1")["msg-1"].status is Status.GRANTED
    assert (len(shop.polar.requests), len(shop.store.audit)) == (1, 1)


# What is frozen stands


@pytest.mark.parametrize("later", [TWENTY, NOBODY, BOTH_METERS, TOO_EXACT], ids=["20", "0", "two", "fails"])
def test_the_amount_of_the_claim_stands_whatever_the_rules_say_later(later: Rules) -> None:
    shop = shop_with(order_webhook())
    shop.polar.script = [KilledError()]
    crash(shop)
    shop.rules = later
    outcome = shop.work()["msg-1"]
    assert outcome.status is Status.GRANTED
    assert outcome.reason.startswith("10 api_usage, as claimed at 2026-11-21T00:00:00Z; today's rules say ")
    assert shop.polar.balance(CUSTOMER) == 10
    assert len(shop.polar.events) == 1


@pytest.mark.parametrize("later", [TWENTY, NOBODY, TOO_EXACT], ids=["20", "0", "fails"])
def test_a_replay_under_other_rules_leaves_the_credit_alone_and_says_so(later: Rules) -> None:
    shop = shop_with(order_webhook())
    shop.work()
    shop.rules = later
    outcome = shop.replay("msg-1")["msg-1"]
    assert outcome.status is Status.GRANTED
    assert "today's rules say" in outcome.reason
    assert shop.polar.balance(CUSTOMER) == 10


def test_the_customer_of_the_claim_stands_though_a_later_delivery_names_another() -> None:
    shop = shop_with(order_webhook())
    shop.polar.script = [KilledError()]
    crash(shop)
    shop.receive("msg-2", order_webhook(customer_id=some_id(9)))
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 10
    assert shop.polar.balance(some_id(9)) == 0


def test_the_second_delivery_of_an_order_in_one_lease_says_no_more_than_who_claimed_it() -> None:
    """By then Polar has accepted the first one's claim, so there is nothing to report."""
    outcome = shop_with(order_webhook(), order_webhook()).work()["msg-2"]
    assert outcome.status is Status.SKIPPED
    assert outcome.reason.startswith("already granted: claimed by delivery msg-1 at ")
    assert outcome.reason.endswith("Z")
