"""A delivery, from the receiver to its end: claim, then ingest, then settle.

A shop is the whole service in memory: what is received, a worker that works when told to, and a Polar.
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


def test_what_was_received_waits_until_a_worker_has_seen_it_through() -> None:
    """The receiver stores it and answers; that it is granted is told by the delivery, not by the answer."""
    shop = shop_that_received_an_order()
    assert shop.status("msg-1") is Status.WAITING
    shop.work()
    assert shop.status("msg-1") is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10


def test_a_claim_stands_before_polar_is_asked() -> None:
    """Here Polar does not answer: what the order is worth is frozen all the same, and not settled."""
    shop = shop_that_received_an_order()
    shop.polar.script = [UNREACHABLE]
    shop.work()
    claim = shop.store.claims[SUBJECT]
    assert [(grant.meter, grant.units) for grant in claim.grants] == [("api_usage", Decimal(10))]
    assert claim.unsettled == claim.grants


def test_polars_yes_settles_it() -> None:
    """Then the grant is in the audit trail, and its claim says since when Polar has it."""
    shop = shop_that_received_an_order()
    shop.work()
    assert shop.store.claims[SUBJECT].unsettled == ()
    assert shop.store.audit == [f"{SUBJECT}:api_usage"]


def test_a_claim_never_changes() -> None:
    """Rules that change between claim and settlement are for other orders: this one gets what was claimed."""
    shop = shop_that_received_an_order()
    shop.polar.script = [UNREACHABLE]
    shop.work()
    shop.rules = TWENTY
    shop.clock.advance(60)
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 10


def test_the_same_order_again_finds_its_claim() -> None:
    """Another delivery of the order is skipped, and says why."""
    shop = shop_that_received_an_order()
    shop.work()
    outcome = shop.tell(order_webhook())
    assert outcome.status is Status.SKIPPED
    assert outcome.reason.startswith("already granted: claimed by delivery msg-1")
    assert len(shop.polar.requests) == 1
