"""Chapter 3: a worker is killed at work, and the order is still credited exactly once.

No cleanup is needed: the lease expires, the delivery is due again, and the next worker continues from the
claim.
"""

from tests.support.builders import CUSTOMER, ORDER, order_webhook
from tests.support.fake_service import TWENTY, Shop, crash, die, shop_with, work_but_before_settling
from tests.support.killed import KilledError
from workers.core.delivery import Status

SUBJECT = f"credits:order:{ORDER}"


def shop_of_a_worker_killed_before_polar() -> Shop:
    """Return a shop in which an order was claimed and nothing was sent. The lease has expired."""
    shop = shop_with(order_webhook())
    shop.polar.script = [KilledError()]
    crash(shop)
    return shop


def shop_of_a_worker_killed_after_polar() -> Shop:
    """Return a shop in which Polar credited an order and the ledger does not know. The lease has expired."""
    shop = shop_with(order_webhook())
    crash(shop, lambda: work_but_before_settling(shop, die))
    return shop


def test_the_delivery_of_a_killed_worker_is_due_again() -> None:
    """It waits as before, and the next worker takes it. Nobody has to notice the death."""
    shop = shop_of_a_worker_killed_before_polar()
    assert shop.status("msg-1") is Status.WAITING
    assert shop.polar.balance(CUSTOMER) == 0
    assert shop.work()["msg-1"].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10


def test_the_next_worker_sends_what_was_claimed() -> None:
    """Even if the rules have changed: they do not change a claim."""
    shop = shop_of_a_worker_killed_before_polar()
    shop.rules = TWENTY
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 10


def test_the_ledger_may_not_know_that_polar_confirmed() -> None:
    """Polar's store and ours cannot be written in one step."""
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
