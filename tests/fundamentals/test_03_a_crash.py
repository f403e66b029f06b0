"""A worker is killed in the midst of its work, and there is one credit all the same.

Nobody cleans up: a lease runs out, the delivery comes due again, and whoever takes it goes on from the claim.
"""

from tests.support.builders import CUSTOMER, ORDER, order_webhook
from tests.support.fake_service import TWENTY, Shop, crash, die, shop_with, work_but_before_settling
from tests.support.fakes import KilledError
from workers.core.delivery import Status

SUBJECT = f"credits:order:{ORDER}"


def shop_of_a_worker_killed_before_polar() -> Shop:
    """Return a shop in which an order was claimed, and nothing sent; the lease has run out."""
    shop = shop_with(order_webhook())
    shop.polar.script = [KilledError()]
    crash(shop)
    return shop


def shop_of_a_worker_killed_after_polar() -> Shop:
    """Return a shop in which an order was credited, and that was not written down; the lease has run out."""
    shop = shop_with(order_webhook())
    crash(shop, lambda: work_but_before_settling(shop, die))
    return shop


def test_what_a_killed_worker_held_comes_due_again() -> None:
    """It waits as before and the next worker takes it: nobody had to notice that one died."""
    shop = shop_of_a_worker_killed_before_polar()
    assert shop.status("msg-1") is Status.WAITING
    assert shop.polar.balance(CUSTOMER) == 0
    assert shop.work()["msg-1"].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10


def test_whoever_goes_on_sends_what_was_claimed() -> None:
    """Even with other rules: they have no say in what is frozen."""
    shop = shop_of_a_worker_killed_before_polar()
    shop.rules = TWENTY
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 10


def test_after_polars_yes_the_ledger_may_not_know_of_it() -> None:
    """Polar's store and ours are two, and no order of steps makes them one."""
    shop = shop_of_a_worker_killed_after_polar()
    assert shop.polar.balance(CUSTOMER) == 10
    assert shop.store.claims[SUBJECT].unsettled


def test_so_it_is_sent_again_under_the_same_key_and_counts_once() -> None:
    shop = shop_of_a_worker_killed_after_polar()
    shop.work()
    assert [[event["external_id"] for event in sent] for sent in shop.polar.requests] == [
        [f"{SUBJECT}:api_usage"],
        [f"{SUBJECT}:api_usage"],
    ]
    assert shop.polar.balance(CUSTOMER) == 10
    assert shop.status("msg-1") is Status.GRANTED
