"""Chapter 4: a refund takes back its share of what a rule with ``on_refund: revoke`` granted, once.

The order cost 1000 cents and earned 100 credits. A refund webhook reports the total of all refunds so far.
"""

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook
from tests.support.fake_service import HUNDRED, KEPT, Shop, sold
from workers.core.delivery import Status


def test_a_refund_of_30_percent_takes_back_30_percent() -> None:
    shop = sold(HUNDRED)
    assert shop.tell(refund_webhook(300)).reason == "took back 30 api_usage"
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_second_refund_takes_only_what_the_first_left() -> None:
    """Half the price is refunded by then. Of the 50 credits due, 30 are already taken."""
    shop = sold(HUNDRED)
    shop.tell(refund_webhook(300))
    assert shop.tell(refund_webhook(500)).reason == "took back 20 api_usage"
    assert shop.polar.balance(CUSTOMER) == 50


def test_a_take_back_is_a_negative_grant() -> None:
    """It has its own key and claim, so chapters 2 and 3 apply to it as well."""
    shop = sold(HUNDRED)
    shop.tell(refund_webhook(300))
    subject = f"credits:refund:{ORDER}:300"
    assert [grant.units for grant in shop.store.claims[subject].grants] == [-30]
    assert shop.polar.events[f"{subject}:api_usage"]["metadata"]["units"] == 30


def test_the_same_refund_again_takes_nothing() -> None:
    shop = sold(HUNDRED)
    shop.tell(refund_webhook(300))
    assert shop.tell(refund_webhook(300)).status is Status.SKIPPED
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_refund_may_arrive_before_its_order() -> None:
    """It is recorded, and counts as soon as the order is credited."""
    shop = Shop(HUNDRED)
    assert shop.tell(refund_webhook(300)).status is Status.SKIPPED
    shop.tell(order_webhook())
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_rule_without_on_refund_takes_nothing_back() -> None:
    """Later rules do not matter: whether a part is revocable was frozen with the grant."""
    shop = sold(KEPT)
    shop.rules = HUNDRED
    shop.tell(refund_webhook(1000))
    assert shop.polar.balance(CUSTOMER) == 100
