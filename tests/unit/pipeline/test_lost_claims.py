"""A settlement concludes no delivery whose claim was lost with the newest data of a Redis that came back."""

from collections.abc import Callable, Mapping
from copy import deepcopy

import pytest

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.fake_service import HUNDRED, Shop, shop_with, sold, work_but_before_settling
from tests.support.fake_store.settling import BONUS_GONE, LOST_CLAIM
from workers.core.delivery import Status

BONUS = rules_of(rule("pack", {"api_usage": 10}), rule("first", {"api_usage": 50}, once_per="customer"))


def a_claim() -> Shop:
    return shop_with(order_webhook(), rules=HUNDRED)


def a_take_back() -> Shop:
    shop = sold()
    shop.receive("msg-2", refund_webhook(300))
    return shop


def an_early_refund() -> Shop:
    return shop_with(refund_webhook(300), rules=HUNDRED)


def a_bonus() -> Shop:
    return shop_with(order_webhook(), rules=BONUS)


def a_claim_of_another_delivery() -> Shop:
    return shop_with(order_webhook(), order_webhook(), rules=HUNDRED)


def a_bonus_of_another_order() -> Shop:
    bonus_alone = rules_of(rule("first", {"api_usage": 50}, once_per="customer"))
    return shop_with(order_webhook(), order_webhook(id=some_id(2)), rules=bonus_alone)


SITUATIONS: Mapping[str, Callable[[], Shop]] = {
    one.__name__: one
    for one in (
        a_claim,
        a_take_back,
        an_early_refund,
        a_bonus,
        a_claim_of_another_delivery,
        a_bonus_of_another_order,
    )
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_relies_on_a_lost_claim_is_claimed_again(situation: str) -> None:
    shop = SITUATIONS[situation]()
    before = deepcopy((shop.store.claims, shop.store.linked, shop.store.refunds, shop.store.taken))

    def redis_comes_back() -> None:
        """Leases are older than the claims: they are still there."""
        store = shop.store
        store.claims, store.linked, store.refunds, store.taken = before

    due = [id_ for id_, one in shop.store.deliveries.items() if one.due]
    assert not work_but_before_settling(shop, redis_comes_back).keys() & due
    reasons = {shop.store.deliveries[id_].reason for id_ in due}
    assert LOST_CLAIM in reasons
    assert reasons <= {LOST_CLAIM, BONUS_GONE}
    shop.work()
    shop.work()
    assert Status.WAITING not in {one.status for one in shop.store.deliveries.values()}
    assert {grant.key for one in shop.store.claims.values() for grant in one.grants} == set(shop.store.audit)
    assert set(shop.polar.events) == set(shop.store.audit)


def test_a_full_refund_takes_all_although_the_first_claim_was_lost() -> None:
    shop = a_claim()
    work_but_before_settling(shop, shop.store.claims.clear)
    shop.work()
    shop.tell(refund_webhook(1000))
    assert shop.polar.balance(CUSTOMER) == 0


def test_a_smaller_refund_that_is_still_noted_is_not_taken_for_the_lost_one() -> None:
    shop = sold()
    shop.tell(refund_webhook(300))
    small = shop.store.refunds[f"credits:order:{ORDER}"]
    shop.receive("msg-3", refund_webhook(500))

    def redis_comes_back() -> None:
        shop.store.refunds[f"credits:order:{ORDER}"] = small
        shop.store.claims.pop(f"credits:refund:{ORDER}:500")
        shop.store.linked[f"credits:order:{ORDER}"] = [f"credits:refund:{ORDER}:300"]
        claim = shop.store.claims[f"credits:refund:{ORDER}:300"]
        shop.store.taken[f"credits:order:{ORDER}"] = {
            grant.meter: {part.rule: -part.units for part in grant.parts} for grant in claim.grants
        }

    work_but_before_settling(shop, redis_comes_back)
    assert shop.work()["msg-3"].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 50
