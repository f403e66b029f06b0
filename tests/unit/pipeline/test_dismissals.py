"""What a person has dismissed stays dismissed for all that could credit it, until it is replayed by name."""

from collections.abc import Callable, Mapping

import pytest

from config.rules import Rules
from tests.support.builders import (
    CUSTOMER,
    ORDER,
    dispute_webhook,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.fake_service import (
    BOTH_METERS,
    HUNDRED,
    NOBODY,
    UNREACHABLE,
    Shop,
    end_well,
    shop_with,
)
from workers.core.delivery import Status
from workers.core.manual import ManualRevoke
from workers.core.take_back_delivery import take_back_delivery
from workers.errors import PolarRefusedError
from workers.operations.revoke import Revocation

BONUS = rule("first", {"api_usage": 50}, once_per="customer")
DISMISSED = "dismissed with delivery msg-1: only `credits replay msg-1` credits it"


def dismissed(*bodies: bytes, rules: Rules = HUNDRED) -> Shop:
    """Return a shop whose first delivery Polar has refused and a person has dismissed."""
    shop = shop_with(*(bodies or (order_webhook(),)), rules=rules)
    shop.polar.known = lambda _customer: False
    assert shop.work()["msg-1"].status is Status.FAILED
    shop.store.dismiss("msg-1")
    shop.polar.known = lambda _customer: True
    return shop


def refund(shop: Shop) -> None:
    shop.tell(refund_webhook(100))


OTHERS: Mapping[str, Callable[[Shop], object]] = {
    "a second webhook id": lambda shop: shop.tell(order_webhook()),
    "a refund": refund,
    "a revoke": lambda shop: shop.tell(ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()[2]),
    "a replay of all": lambda shop: shop.replay(*shop.store.deliveries),
    "an order told with its refund": lambda shop: shop.tell(order_webhook(refunded_amount=300)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_nothing_but_a_replay_by_name_credits_a_dismissed_order(what: str) -> None:
    shop = dismissed()
    OTHERS[what](shop)
    assert shop.polar.events == {}
    last = list(shop.store.deliveries.values())[-1]
    assert (last.status, last.reason) == (Status.SKIPPED, DISMISSED)
    shop.replay("msg-1", by_name=True)
    shop.work()
    assert shop.polar.events[f"credits:order:{ORDER}:api_usage"]["metadata"]["units"] == -100


def test_an_order_that_was_dismissed_before_it_was_claimed_is_not_claimed() -> None:
    """Its amount could not be worked out; the rules are mended later."""
    shop = shop_with(order_webhook(), rules=rules_of(rule("odd", {"api_usage": "order.net_amount - 5000"})))
    assert shop.work()["msg-1"].status is Status.FAILED
    shop.store.dismiss("msg-1")
    shop.rules = HUNDRED
    outcome = shop.tell(order_webhook())
    assert (outcome.status, outcome.reason) == (Status.SKIPPED, DISMISSED)
    assert (shop.store.claims, shop.polar.events) == ({}, {})
    shop.replay("msg-1", by_name=True)
    assert shop.polar.balance(CUSTOMER) == 100


def test_what_was_settled_before_the_dismissal_stays() -> None:
    shop = shop_with(order_webhook(), rules=BOTH_METERS)
    shop.polar.script = [PolarRefusedError("Polar answered 422", named={1: "no images"})]
    assert shop.work()["msg-1"].status is Status.FAILED
    shop.store.dismiss("msg-1")
    assert shop.tell(order_webhook()).reason == DISMISSED
    assert shop.polar.balance(CUSTOMER) == 10
    assert shop.polar.balance(CUSTOMER, "images") == 0


def test_a_refund_that_came_before_counts_after_a_replay_by_name() -> None:
    shop = dismissed(order_webhook(), refund_webhook(300))
    shop.replay("msg-1", by_name=True)
    assert shop.work()[take_back_delivery(ORDER)].reason == "took back 30 api_usage"
    assert shop.polar.balance(CUSTOMER) == 70


@pytest.mark.parametrize("pack", [[], [rule("pack", {"api_usage": 10})]], ids=["alone", "beside others"])
def test_a_bonus_of_a_dismissed_order_goes_to_the_customers_next_order(pack: list[str]) -> None:
    shop = dismissed(rules=rules_of(*pack, BONUS))
    following = shop.tell(order_webhook(id=some_id(2)))
    assert following.status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 50 + 10 * len(pack)
    assert shop.replay("msg-1", by_name=True)["msg-1"].status in {Status.GRANTED, Status.SKIPPED}
    assert shop.polar.balance(CUSTOMER) == 50 + 20 * len(pack)


def test_an_order_with_a_bonus_alone_that_is_replayed_by_name_gets_it() -> None:
    shop = dismissed(rules=rules_of(BONUS))
    assert shop.replay("msg-1", by_name=True)["msg-1"].reason == "50 api_usage"


def test_a_dismissed_take_back_is_not_sent_by_later_refunds() -> None:
    shop = shop_with(order_webhook(), rules=HUNDRED)
    shop.work()
    shop.polar.known = lambda _customer: False
    assert shop.tell(refund_webhook(300)).status is Status.FAILED
    shop.store.dismiss("msg-2")
    shop.polar.known = lambda _customer: True
    assert shop.tell(refund_webhook(300)).reason == (
        "its take-back was dismissed: only a replay by its delivery's id sends it"
    )
    assert shop.tell(refund_webhook(500)).reason == "took back 20 api_usage"
    assert shop.polar.balance(CUSTOMER) == 80
    shop.replay("msg-2", by_name=True)
    assert shop.polar.balance(CUSTOMER) == 50


def test_a_dismissed_revoke_is_not_sent_by_another_which_says_why() -> None:
    shop = shop_with(order_webhook(), rules=HUNDRED)
    shop.work()
    shop.polar.known = lambda _customer: False
    revoke = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER)
    assert shop.tell(revoke.delivery()[2]).status is Status.FAILED
    shop.store.dismiss("msg-2")
    shop.polar.known = lambda _customer: True
    why = "its take-back was dismissed: only a replay by its delivery's id sends it"
    assert shop.tell(revoke.delivery()[2]).reason == why
    standing = shop.store.find_for_plan(revoke.plan())
    assert Revocation(request=revoke, standing=standing).dry_run_text == f"nothing: {why}"
    shop.replay("msg-2", by_name=True)
    assert shop.polar.balance(CUSTOMER) == 0


def test_a_take_back_is_dismissed_with_the_webhook_of_its_order_that_told_of_it() -> None:
    shop = shop_with(order_webhook(), rules=HUNDRED)
    shop.work()
    shop.polar.known = lambda _customer: False
    assert shop.tell(order_webhook(refunded_amount=300)).status is Status.FAILED
    shop.store.dismiss("msg-2")
    shop.polar.known = lambda _customer: True
    shop.tell(refund_webhook(300))
    shop.tell(order_webhook())
    assert shop.polar.balance(CUSTOMER) == 100
    shop.replay("msg-2", by_name=True)
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_dismissed_refund_leaves_the_order_alone() -> None:
    shop = shop_with(refund_webhook(300), rules=NOBODY)
    shop.work()
    shop.store.deliveries["msg-1"].status = Status.FAILED
    shop.store.dismiss("msg-1")
    shop.rules = HUNDRED
    assert shop.tell(order_webhook()).status is Status.GRANTED


def test_dismissing_a_dispute_that_needed_review_leaves_a_refunds_take_back_alone() -> None:
    """The refund came before its order, so what it takes is due when the dispute is looked at."""
    shop = shop_with(refund_webhook(300), order_webhook(), rules=HUNDRED)
    shop.work()
    shop.receive("msg-3", dispute_webhook(1, 300, currency="eur"))
    shop.polar.script = [UNREACHABLE]
    assert shop.work()["msg-3"].status is Status.FAILED
    shop.store.dismiss("msg-3")
    end_well(shop)
    assert shop.polar.balance(CUSTOMER) == 70
