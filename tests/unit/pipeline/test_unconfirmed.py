"""Grants that Polar may have with other amounts: a request that counts duplicates makes them unconfirmed."""

from msgspec.structs import replace

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook
from tests.support.fake_service import HUNDRED, TWENTY, Shop, crash, die, shop_with, sold, taken_back
from tests.support.fake_service import work_but_before_settling as work_but
from workers.core.delivery import Status
from workers.core.grants import order_subject
from workers.core.take_back_delivery import take_back_delivery

OWN = order_subject(ORDER)
HELD = (
    "Polar may have other amounts of this order's credits than the ledger: the refund counts when they are "
    "confirmed"
)


def unconfirmed(shop: Shop) -> list[str]:
    return sorted(subject for subject, claim in shop.store.claims.items() if claim.unconfirmed)


def test_a_first_answer_without_duplicates_confirms() -> None:
    assert unconfirmed(sold()) == []


def test_a_retry_after_a_lost_answer_is_unconfirmed_until_it_is_read_back() -> None:
    shop = shop_with(order_webhook(), rules=HUNDRED)
    shop.polar.loses_answers = 1
    shop.work()
    shop.clock.advance(100)
    assert shop.work()["msg-1"].status is Status.GRANTED
    assert unconfirmed(shop) == [OWN]
    shop.read_back()
    assert unconfirmed(shop) == []


def test_a_grant_whose_worker_died_after_polars_answer_is_unconfirmed() -> None:
    shop = shop_with(order_webhook(), rules=HUNDRED)
    crash(shop, lambda: work_but(shop, die))
    assert shop.work()["msg-1"].status is Status.GRANTED
    assert unconfirmed(shop) == [OWN]


def test_an_order_claimed_anew_after_a_lost_ledger_takes_nothing_back_of_an_amount_that_polar_lacks() -> None:
    """300 by the books and 100 at Polar: a refund of all of it would have left a balance of -200."""
    shop = sold(TWENTY)
    lose_ledger(shop)
    shop.rules = HUNDRED
    shop.tell(order_webhook())
    assert shop.tell(refund_webhook(1000)).reason == HELD
    shop.read_back()
    shop.work()
    assert unconfirmed(shop) == [OWN]
    assert taken_back(shop) == []
    assert shop.polar.balance(CUSTOMER) == 20


def lose_ledger(shop: Shop) -> None:
    """Empty the ledger, as a Redis that was lost."""
    for lost in (shop.store.claims, shop.store.linked, shop.store.refunds, shop.store.taken):
        lost.clear()
    shop.store.deliveries.clear()


def test_a_refund_that_was_held_is_taken_when_the_credits_are_confirmed() -> None:
    shop = shop_with(order_webhook(), rules=HUNDRED)
    crash(shop, lambda: work_but(shop, die))
    shop.work()
    shop.receive("refund", refund_webhook(300))
    assert shop.work()["refund"].reason == HELD
    shop.read_back()
    outcome = shop.work()[take_back_delivery(ORDER)]
    assert (outcome.status, outcome.reason) == (Status.GRANTED, "took back 30 api_usage")


def test_a_take_back_is_unconfirmed_too_and_holds_the_next_one() -> None:
    shop = sold()
    shop.receive("first", refund_webhook(300))
    crash(shop, lambda: work_but(shop, die))
    shop.work()
    assert unconfirmed(shop) == [f"credits:refund:{ORDER}:300"]
    shop.receive("second", refund_webhook(500))
    assert shop.work()["second"].reason == HELD
    shop.read_back()
    assert shop.work()[take_back_delivery(ORDER)].reason == "took back 20 api_usage"
    assert shop.polar.balance(CUSTOMER) == 50


def test_a_take_back_of_another_amount_at_polar_stops_the_next_one() -> None:
    """A ledger that lost the first refund's take-back works the second one out from too much."""
    shop = sold()
    shop.tell(refund_webhook(500))
    claim = shop.store.claims.pop(f"credits:refund:{ORDER}:500")
    (grant,) = claim.grants
    (part,) = grant.parts
    smaller = replace(grant, parts=(replace(part, units=part.units / 5),))
    shop.store.claims[claim.subject] = replace(claim, grants=(smaller,), unconfirmed={grant.meter: ""})
    shop.read_back()
    assert shop.tell(refund_webhook(1000)).reason == HELD
    assert shop.polar.balance(CUSTOMER) == 50
