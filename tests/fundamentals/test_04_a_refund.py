"""A refund takes back its share of what a rule with ``on_refund: revoke`` gave, and takes it once.

The order cost 1000 cents and is worth 100 credits. Polar tells of refunds in sum: all of an order's so far.
"""

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook
from tests.support.fake_service import HUNDRED, KEPT, Shop, sold
from workers.core.delivery import Status


def test_three_tenths_of_the_price_take_back_three_tenths_of_the_credits() -> None:
    shop = sold(HUNDRED)
    assert shop.tell(refund_webhook(300)).reason == "took back 30 api_usage"
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_second_refund_takes_only_what_the_first_left() -> None:
    """Half the price is back by then: of 50 credits, 30 are taken already."""
    shop = sold(HUNDRED)
    shop.tell(refund_webhook(300))
    assert shop.tell(refund_webhook(500)).reason == "took back 20 api_usage"
    assert shop.polar.balance(CUSTOMER) == 50


def test_what_is_taken_back_is_a_grant_of_less_than_nothing() -> None:
    """With a key and a claim of its own, so that chapters 2 and 3 hold for it too."""
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


def test_a_refund_may_come_before_its_order() -> None:
    """It is noted, and counts as soon as there is something to take back."""
    shop = Shop(HUNDRED)
    assert shop.tell(refund_webhook(300)).status is Status.SKIPPED
    shop.tell(order_webhook())
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_rule_that_does_not_say_so_takes_nothing_back() -> None:
    """Nor does it matter what the rules say by now: what may be taken back was frozen with the credit."""
    shop = sold(KEPT)
    shop.rules = HUNDRED
    shop.tell(refund_webhook(1000))
    assert shop.polar.balance(CUSTOMER) == 100
