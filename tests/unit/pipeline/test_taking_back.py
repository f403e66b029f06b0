"""Refunds before the credit, after it, together with it, and twice."""

from itertools import permutations

import pytest

from tests.support.builders import (
    CUSTOMER,
    ORDER,
    order_like,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.fake_service import HUNDRED, KEPT, MIXED, NOBODY, shop_with, sold, taken_back
from tests.support.recordings import payload
from workers.core.delivery import Status
from workers.core.take_back_delivery import take_back_delivery


def test_three_real_refunds_take_back_their_shares_one_after_the_other() -> None:
    names = ["order_refunded_partial", "order_refunded_second_partial", "order_refunded_full"]
    refunded = order_like(names[0])
    paid = order_webhook(id=refunded.id, customer_id=refunded.customer_id)
    shop = shop_with(paid, rules=HUNDRED)
    shop.work()
    outcomes = [shop.tell(payload(name)) for name in names]
    assert [(one.status, one.reason) for one in outcomes] == [
        (Status.GRANTED, "took back 30 api_usage"),
        (Status.GRANTED, "took back 20 api_usage"),
        (Status.GRANTED, "took back 50 api_usage"),
    ]
    assert shop.polar.balance(refunded.customer_id) == 0
    assert list(shop.polar.events) == [
        f"credits:order:{refunded.id}:api_usage",
        *(f"credits:refund:{refunded.id}:{cents}:api_usage" for cents in (300, 500, 1000)),
    ]


def test_what_is_taken_back_is_usage_that_says_why() -> None:
    shop = sold()
    shop.tell(refund_webhook(300))
    event = shop.polar.events[f"credits:refund:{ORDER}:300:api_usage"]
    assert event["metadata"] == {
        "units": 30,
        "granted_by": "credit-granter",
        "key": f"credits:refund:{ORDER}:300:api_usage",
        "order_id": ORDER,
        "rules": "pack",
        "reason": "refund",
    }


def test_rules_that_keep_lose_nothing_and_those_that_revoke_their_share_on_every_meter() -> None:
    shop = sold(MIXED)
    assert shop.tell(refund_webhook(250)).reason == "took back 25 api_usage, 2 images"
    assert [shop.polar.balance(CUSTOMER, meter) for meter in ("api_usage", "images")] == [82, 6]
    assert shop.tell(refund_webhook(1000)).reason == "took back 75 api_usage, 6 images"
    assert [shop.polar.balance(CUSTOMER, meter) for meter in ("api_usage", "images")] == [7, 0]


def test_a_bonus_once_per_customer_survives_the_refund_of_the_order_that_brought_it() -> None:
    bonus = rule("bonus", {"api_usage": 50}, once_per="customer")
    shop = sold(rules_of(rule("pack", {"api_usage": 100}, on_refund="revoke"), bonus))
    assert shop.tell(refund_webhook(1000)).reason == "took back 100 api_usage"
    assert shop.polar.balance(CUSTOMER) == 50


def test_where_no_rule_takes_back_a_refund_is_skipped_and_says_so() -> None:
    shop = sold(KEPT)
    outcome = shop.tell(refund_webhook(1000))
    assert (outcome.status, outcome.order_id, outcome.customer_id) == (Status.SKIPPED, ORDER, CUSTOMER)
    assert outcome.reason.startswith("no rule that credited this order takes credits back")
    assert len(shop.polar.requests) == 1


def test_the_same_refund_told_twice_is_taken_back_once() -> None:
    shop = sold()
    shop.tell(refund_webhook(300))
    again = shop.tell(refund_webhook(300))
    assert (again.status, again.reason) == (Status.SKIPPED, "the refunded share has already been taken back")
    assert shop.polar.balance(CUSTOMER) == 70
    assert taken_back(shop) == ["300:api_usage"]


def test_a_refund_that_comes_after_a_later_one_takes_nothing() -> None:
    shop = sold()
    shop.tell(refund_webhook(500))
    late = shop.tell(refund_webhook(300))
    assert late.status is Status.SKIPPED
    assert late.reason == "a later refund, 500 in total, has already been processed"
    assert shop.polar.balance(CUSTOMER) == 50
    assert taken_back(shop) == ["500:api_usage"]


def test_a_refund_that_failed_afterwards_and_is_made_again_takes_nothing_twice() -> None:
    """Polar lowers the amount without a webhook; the next one has the same total again, or a higher one."""
    shop = sold()
    for cents, left in ((400, 60), (400, 60), (700, 30)):
        shop.tell(refund_webhook(cents))
        assert shop.polar.balance(CUSTOMER) == left


def test_a_replay_of_a_refund_changes_nothing_and_says_what_it_took() -> None:
    shop = sold()
    shop.tell(refund_webhook(300))
    outcome = shop.replay("msg-2")["msg-2"]
    assert (outcome.status, outcome.reason) == (Status.GRANTED, "took back 30 api_usage")
    assert len(shop.polar.requests) == 2


def test_a_replay_of_the_order_leaves_what_was_taken_back_alone() -> None:
    shop = sold()
    shop.tell(refund_webhook(300))
    outcome = shop.replay("msg-1")["msg-1"]
    assert (outcome.status, outcome.reason) == (Status.GRANTED, "100 api_usage")
    assert shop.polar.balance(CUSTOMER) == 70


def test_an_order_for_nothing_loses_all_at_its_refund() -> None:
    shop = shop_with(order_webhook(net_amount=0), rules=HUNDRED)
    shop.work()
    assert shop.tell(refund_webhook(0, net_amount=0, status="refunded")).reason == "took back 100 api_usage"
    assert taken_back(shop) == ["0:api_usage"]


def test_a_refund_of_nothing_takes_nothing() -> None:
    shop = sold()
    outcome = shop.tell(refund_webhook(0))
    assert (outcome.status, outcome.reason) == (Status.SKIPPED, "this order has not been refunded")
    assert shop.polar.balance(CUSTOMER) == 100


# Before the credit, and beside it


def test_a_refund_before_its_order_is_credited_counts_when_it_is() -> None:
    shop = shop_with(refund_webhook(300), rules=HUNDRED)
    early = shop.work()["msg-1"]
    assert early.status is Status.SKIPPED
    assert (
        early.reason == "this order has not been credited yet: the refund counts when the order is credited"
    )
    assert (shop.polar.requests, shop.store.claims) == ([], {})
    paid = shop.tell(order_webhook())
    assert (paid.status, paid.reason) == (Status.GRANTED, "100 api_usage")
    assert shop.polar.balance(CUSTOMER) == 70


def test_of_several_refunds_before_the_credit_the_greatest_counts() -> None:
    for refunds in permutations([300, 500, 400]):
        shop = shop_with(*map(refund_webhook, refunds), rules=HUNDRED)
        shop.work()
        shop.tell(order_webhook())
        assert shop.polar.balance(CUSTOMER) == 50
        assert taken_back(shop) == ["500:api_usage"]


def test_an_order_that_was_skipped_when_it_was_refunded_is_credited_less_the_refund_by_mended_rules() -> None:
    shop = shop_with(order_webhook(), refund_webhook(1000), rules=NOBODY)
    assert {one.status for one in shop.work().values()} == {Status.SKIPPED}
    shop.rules = HUNDRED
    shop.replay("msg-1")
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 0
    assert len(shop.polar.events) == 2


@pytest.mark.parametrize(
    "bodies",
    list(permutations([order_webhook(), refund_webhook(300), refund_webhook(500)])),
    ids=["p35", "p53", "3p5", "35p", "5p3", "53p"],
)
def test_an_order_and_its_refunds_in_one_share_come_to_the_same_in_any_order(
    bodies: tuple[bytes, ...],
) -> None:
    shop = shop_with(*bodies, rules=HUNDRED)
    outcomes = [*shop.work().values(), *shop.work().values()]
    assert shop.polar.balance(CUSTOMER) == 50
    assert [len(events) for events in shop.polar.requests] == [1, 1]
    assert Status.WAITING not in {one.status for one in outcomes}


def test_an_order_whose_webhook_tells_of_a_refund_is_credited_less_that() -> None:
    """So does an order that is read from Polar's API long after."""
    shop = shop_with(order_webhook(refunded_amount=250, status="partially_refunded"), rules=HUNDRED)
    assert shop.work()["msg-1"].reason == "100 api_usage"
    assert shop.work()[take_back_delivery(ORDER)].reason == "took back 25 api_usage"
    assert shop.polar.balance(CUSTOMER) == 75


def test_the_refund_of_another_order_is_nothing_to_this_one() -> None:
    shop = sold()
    shop.tell(refund_webhook(1000, id=some_id(7)))
    assert shop.polar.balance(CUSTOMER) == 100
