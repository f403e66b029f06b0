"""Claimed credits are taken back as claimed, and the next worker finishes the work of a dead one."""

import pytest
from msgspec.structs import replace

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.fake_service import (
    HUNDRED,
    KEPT,
    MIXED,
    NOBODY,
    Shop,
    crash,
    die,
    purchases,
    shop_with,
    sold,
    taken_back,
    work_but_before_settling,
    work_but_before_taking_back,
)
from tests.support.killed import KilledError
from workers.core.delivery import Status
from workers.core.manual import ManualRevoke
from workers.core.take_back_delivery import take_back_delivery
from workers.errors import PolarRefusedError
from workers.timings import DEFAULT_TIMINGS

OTHERS = {
    "renamed": rules_of(rule("other", {"api_usage": 100}, on_refund="revoke")),
    "kept": KEPT,
    "more": rules_of(rule("pack", {"api_usage": 900}, on_refund="revoke")),
    "gone": NOBODY,
}
"""Changes of the rules between the credit and its refund."""


@pytest.mark.parametrize("later", OTHERS)
def test_a_refund_takes_back_by_the_rules_of_the_claim_whatever_they_say_now(later: str) -> None:
    shop = sold(MIXED)
    shop.rules = OTHERS[later]
    outcome = shop.tell(refund_webhook(500))
    assert (outcome.status, outcome.reason) == (Status.GRANTED, "took back 50 api_usage, 4 images")
    assert shop.polar.balance(CUSTOMER) == 57


def test_rules_that_have_come_to_revoke_take_back_nothing_that_was_granted_to_keep() -> None:
    shop = sold(KEPT)
    shop.rules = HUNDRED
    assert shop.tell(refund_webhook(1000)).status is Status.SKIPPED
    assert shop.polar.balance(CUSTOMER) == 100


NEXT = {
    "the refund again": refund_webhook(300),
    "a greater refund": refund_webhook(500),
    "a smaller refund": refund_webhook(100),
    "the order again": order_webhook(),
}


@pytest.mark.parametrize("later", [*OTHERS, "same"])
@pytest.mark.parametrize("next_", NEXT)
@pytest.mark.parametrize("where", ["taking back", "Polar", "settling"])
def test_what_a_killed_worker_left_of_a_refund_is_finished_by_whichever_delivery_comes_next(
    where: str, next_: str, later: str
) -> None:
    shop = sold()
    shop.receive("msg-2", refund_webhook(300))
    kill(shop, where)
    shop.store.deliveries["msg-2"].due = None  # it is not the one to come next
    shop.rules = OTHERS.get(later, HUNDRED)
    shop.tell(NEXT[next_])
    left = 50 if next_ == "a greater refund" else 70
    assert shop.polar.balance(CUSTOMER) == left
    shop.replay("msg-1", "msg-2", "msg-3")
    assert shop.polar.balance(CUSTOMER) == left
    assert {one.status for one in shop.store.deliveries.values()} <= {Status.GRANTED, Status.SKIPPED}


def kill(shop: Shop, where: str) -> None:
    """Let a worker die at this point of its work."""
    shop.polar.script = [KilledError()] if where == "Polar" else []
    works = {
        "taking back": lambda: work_but_before_taking_back(shop, die),
        "Polar": shop.work,
        "settling": lambda: work_but_before_settling(shop, die),
    }
    crash(shop, works[where])


def test_a_refund_leaves_the_credit_that_a_killed_worker_left_to_its_order_and_counts_then() -> None:
    shop = shop_with(order_webhook(), rules=HUNDRED)
    shop.polar.script = [KilledError()]
    crash(shop)
    shop.store.deliveries["msg-1"].due = None
    shop.rules = NOBODY
    outcome = shop.tell(refund_webhook(300))
    assert (outcome.status, outcome.reason) == (
        Status.SKIPPED,
        "this order is not credited at Polar yet: the refund counts when the order is credited",
    )
    assert shop.polar.events == {}
    shop.replay("msg-1")
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 70


def test_no_take_back_reaches_polar_while_its_grant_meets_500s() -> None:
    shop = shop_with(order_webhook(), refund_webhook(500), *purchases(3), rules=HUNDRED)
    shop.polar.breaks_at = lambda event: event["external_id"] == f"credits:order:{ORDER}:api_usage"
    for number in range(60):
        shop.clock.advance(30)
        shop.receive(f"other-{number}", order_webhook(id=some_id(100 + number), customer_id=some_id(1)))
        shop.work()
    assert (shop.status("msg-1"), shop.status("msg-2")) == (Status.FAILED, Status.SKIPPED)
    assert shop.polar.balance(CUSTOMER) == 0
    shop.polar.breaks_at = lambda _event: False
    shop.replay("msg-1")
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 50


def test_a_refund_whose_order_is_credited_between_its_look_and_its_settlement_is_taken() -> None:
    """The settlement takes the lease from a worker that saw the order before it was credited."""
    shop = shop_with(order_webhook(refunded_amount=300), rules=HUNDRED)
    early = take_back_delivery(ORDER)
    shop.work()
    shop.store.claims[f"credits:order:{ORDER}"] = replace(
        shop.store.claims[f"credits:order:{ORDER}"], settled={}
    )  # as in a Redis that lost its newest data

    def order_settles() -> None:
        shop.replay("msg-1")

    assert early not in work_but_before_settling(shop, order_settles)
    shop.read_back()
    shop.work()
    assert shop.status(early) is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_revoke_of_credits_that_are_not_at_polar_sends_nothing() -> None:
    shop = shop_with(order_webhook(), rules=HUNDRED)
    shop.polar.known = lambda _customer: False
    assert shop.work()["msg-1"].status is Status.FAILED
    shop.polar.known = lambda _customer: True
    revoke = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER)
    outcome = shop.tell(revoke.delivery()[2])
    assert (outcome.status, outcome.reason) == (
        Status.SKIPPED,
        "this order is not credited at Polar yet (see `credits show msg-1`)",
    )
    assert shop.polar.events == {}


def test_of_two_workers_that_work_out_a_refund_each_the_second_starts_anew() -> None:
    shop = sold()
    shop.receive("msg-2", refund_webhook(300))

    def another_takes_more() -> None:
        shop.tell(refund_webhook(500))

    outcome = work_but_before_taking_back(shop, another_takes_more)["msg-2"]
    assert (outcome.status, shop.status("msg-3")) == (Status.SKIPPED, Status.GRANTED)
    assert outcome.reason == "a later refund, 500 in total, has already been processed"
    assert shop.polar.balance(CUSTOMER) == 50
    assert taken_back(shop) == ["500:api_usage"]


def test_of_two_workers_that_work_out_the_same_refund_one_takes_it() -> None:
    shop = sold()
    shop.receive("msg-2", refund_webhook(300))

    def another_does_it() -> None:
        shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
        shop.work()

    work_but_before_taking_back(shop, another_does_it)
    assert shop.status("msg-2") is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 70
    assert taken_back(shop) == ["300:api_usage"]


def test_what_polar_refuses_to_take_back_fails_and_can_be_replayed() -> None:
    shop = sold()
    shop.polar.script = [PolarRefusedError("Polar answered 422", named={0: "customer_id: gone"})]
    assert shop.tell(refund_webhook(300)).status is Status.FAILED
    shop.tell(refund_webhook(500))
    shop.replay("msg-2")
    assert shop.polar.balance(CUSTOMER) == 50
    assert taken_back(shop) == ["300:api_usage", "500:api_usage"]
