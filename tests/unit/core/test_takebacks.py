"""A revoke by hand takes back everything that is left of an order's credits, once, beside any refunds."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.fake_service import KEPT, MIXED, Shop, crash, shop_with, sold, work_but_before_taking_back
from tests.support.killed import KilledError
from workers.core.delivery import Outcome, Status
from workers.core.manual import ManualRevoke

BONUS = rules_of(rule("bonus", {"api_usage": 50}, once_per="customer"))
BOTH = {"api_usage", "images"}


def receive(shop: Shop, meter: str | None = None, order: str = ORDER) -> str:
    """Store a revoke as the command does; return its delivery."""
    delivery_id, _, body = ManualRevoke(order_id=order, customer_id=CUSTOMER, meter=meter).delivery()
    shop.receive(delivery_id, body)
    return delivery_id


def revoke(shop: Shop, meter: str | None = None) -> Outcome:
    """Revoke by hand; return the outcome."""
    delivery_id = receive(shop, meter)
    found = shop.work()
    return found[delivery_id] if delivery_id in found else shop.replay(delivery_id)[delivery_id]


def keys(shop: Shop) -> list[str]:
    """Return the keys of all take-backs."""
    return [key for key, event in shop.polar.events.items() if ":order:" not in key]


def test_all_parts_are_taken_whatever_on_refund_says() -> None:
    shop = sold(MIXED)
    outcome = revoke(shop)
    assert (outcome.status, outcome.reason) == (Status.GRANTED, "took back 107 api_usage, 8 images")
    assert keys(shop) == [f"credits:revoke:{ORDER}:{meter}" for meter in sorted(BOTH)]
    assert shop.polar.balance(CUSTOMER) == shop.polar.balance(CUSTOMER, "images") == 0


def test_the_event_says_what_it_is() -> None:
    shop = sold(KEPT)
    revoke(shop)
    event = shop.polar.events[f"credits:revoke:{ORDER}:api_usage"]
    assert event["metadata"] == {
        "units": 100,
        "granted_by": "credit-granter",
        "key": f"credits:revoke:{ORDER}:api_usage",
        "order_id": ORDER,
        "rules": "pack",
        "reason": "revoke",
    }


def test_one_meter_alone_then_the_rest() -> None:
    shop = sold(MIXED)
    assert revoke(shop, "images").reason == "took back 8 images"
    assert shop.polar.balance(CUSTOMER) == 107
    assert revoke(shop).reason == "took back 107 api_usage"
    assert shop.polar.balance(CUSTOMER) == shop.polar.balance(CUSTOMER, "images") == 0


def test_it_is_done_once_however_often_it_is_requested() -> None:
    shop = sold(MIXED)
    revoke(shop)
    assert revoke(shop).status is Status.GRANTED
    delivery_id = receive(shop, "images")
    outcome = shop.work()[delivery_id]
    assert outcome.reason == "all of this order's credits have already been taken back"
    assert len(keys(shop)) == 2


def test_what_a_refund_took_before_is_not_taken_again() -> None:
    shop = sold(MIXED)
    shop.tell(refund_webhook(300))
    revoke(shop)
    assert shop.polar.balance(CUSTOMER) == shop.polar.balance(CUSTOMER, "images") == 0


@pytest.mark.parametrize("cents", [300, 1000])
def test_refunds_that_come_later_take_nothing_more(cents: int) -> None:
    shop = sold(MIXED)
    revoke(shop)
    assert shop.tell(refund_webhook(cents)).status is Status.SKIPPED
    assert shop.polar.balance(CUSTOMER) == 0


def test_a_refund_between_takes_of_the_other_meter_alone() -> None:
    """What a person took back on one meter stays taken, although the refund's share is less."""
    shop = sold(MIXED)
    revoke(shop, "api_usage")
    shop.tell(refund_webhook(500))
    shop.tell(refund_webhook(1000))
    assert shop.polar.balance(CUSTOMER) == shop.polar.balance(CUSTOMER, "images") == 0


def test_a_bonus_once_per_customer_is_not_the_orders() -> None:
    shop = sold(BONUS)
    outcome = revoke(shop)
    assert outcome.status is Status.SKIPPED
    assert outcome.reason == "this order has no credits on any meter except bonuses (once_per)"
    assert shop.polar.balance(CUSTOMER) == 50


def test_nothing_is_taken_from_an_order_that_was_never_credited() -> None:
    shop = shop_with(rules=KEPT)
    assert revoke(shop).reason == "this order has not been credited"


def test_a_refund_at_the_same_moment_makes_it_compute_again() -> None:
    shop = sold(MIXED)
    delivery_id = receive(shop)

    def refund() -> None:
        shop.receive("refund", refund_webhook(500))
        shop.granter.run(shop.store.reopen("refund"))

    assert work_but_before_taking_back(shop, refund)[delivery_id].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == shop.polar.balance(CUSTOMER, "images") == 0


def test_refund_and_revocation_in_one_lease_take_all_and_no_more() -> None:
    shop = sold(MIXED)
    receive(shop)
    shop.receive("refund", refund_webhook(500))
    shop.work()
    assert shop.polar.balance(CUSTOMER) == shop.polar.balance(CUSTOMER, "images") == 0


def test_it_completes_after_a_crash() -> None:
    shop = sold(MIXED)
    delivery_id = receive(shop)
    shop.polar.script = [KilledError()]
    crash(shop)
    assert shop.work()[delivery_id].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 0


_steps = st.lists(st.sampled_from([None, "api_usage", "images", 1, 333, 500, 999, 1000]), max_size=8)


@given(_steps)
def test_never_more_is_taken_than_was_granted(
    steps: list[str | int | None],
) -> None:
    shop = sold(MIXED)
    for step in steps:
        if isinstance(step, int):
            shop.tell(refund_webhook(step))
        else:
            revoke(shop, step)
    left = {meter: shop.polar.balance(CUSTOMER, meter) for meter in BOTH}
    assert all(units >= 0 for units in left.values())
    assert all(left[meter] == 0 for meter in BOTH if None in steps or meter in steps)
    if not set(steps) & {None, "api_usage"}:
        assert left["api_usage"] >= Decimal(7)  # the gift is not revocable by refunds


def test_another_orders_credits_stay() -> None:
    shop = sold(KEPT)
    shop.tell(order_webhook(id=some_id(2)))
    revoke(shop)
    assert shop.polar.balance(CUSTOMER) == 100
