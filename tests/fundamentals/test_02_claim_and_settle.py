"""Chapter 2: a delivery is claimed, then ingested, then settled.

A ``Shop`` is the whole service in memory: a receiver, a worker that runs on request, and a fake Polar.
"""

from decimal import Decimal

from tests.support.builders import CUSTOMER, ORDER, order_webhook
from tests.support.fake_service import TEN, TWENTY, UNREACHABLE, Shop
from workers.core.delivery import Status

SUBJECT = f"credits:order:{ORDER}"


def shop_that_received_an_order() -> Shop:
    shop = Shop(TEN)
    shop.receive("msg-1", order_webhook())
    return shop


def test_a_delivery_waits_until_a_worker_has_settled_it() -> None:
    """The receiver only stores it. Whether it was granted is the delivery's status, not the HTTP answer."""
    shop = shop_that_received_an_order()
    assert shop.status("msg-1") is Status.WAITING
    shop.work()
    assert shop.status("msg-1") is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10


def test_the_claim_is_written_before_polar_is_asked() -> None:
    """Here Polar does not answer, yet the order's grants are frozen; they are not settled."""
    shop = shop_that_received_an_order()
    shop.polar.script = [UNREACHABLE]
    shop.work()
    claim = shop.store.claims[SUBJECT]
    assert [(grant.meter, grant.units) for grant in claim.grants] == [("api_usage", Decimal(10))]
    assert claim.unsettled == claim.grants


def test_polars_confirmation_settles_it() -> None:
    """The audit trail then lists the grant, and the claim has the time of the confirmation."""
    shop = shop_that_received_an_order()
    shop.work()
    assert shop.store.claims[SUBJECT].unsettled == ()
    assert shop.store.audit == [f"{SUBJECT}:api_usage"]


def test_a_claim_never_changes() -> None:
    """If the rules change between claim and settlement, the order still gets what was claimed."""
    shop = shop_that_received_an_order()
    shop.polar.script = [UNREACHABLE]
    shop.work()
    shop.rules = TWENTY
    shop.clock.advance(60)
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 10


def test_a_second_delivery_of_the_order_finds_the_claim() -> None:
    """It is skipped, with the reason."""
    shop = shop_that_received_an_order()
    shop.work()
    outcome = shop.tell(order_webhook())
    assert outcome.status is Status.SKIPPED
    assert outcome.reason.startswith("already granted: claimed by delivery msg-1")
    assert len(shop.polar.requests) == 1
