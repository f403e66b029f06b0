"""A take-back that was held and outlived its delivery belongs to the one from which Polar refuses it."""

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of
from tests.support.dismissing import Service
from tests.support.leased import plan_and_claim
from tests.support.real_stores import RETAIN
from workers.core.confirmations import Reading
from workers.core.delivery import Lease, Status
from workers.core.envelope import peek_type
from workers.core.manual import ManualRevoke
from workers.core.usage_events import usage_event
from workers.operations.replay import Replayer
from workers.store.unconfirmed import UnconfirmedStore


@pytest.fixture
def service(redis: Redis) -> Service:
    return Service(redis)


REFUND = refund_webhook(500)
REVOKE = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()[2]


def hold(service: Service, body: bytes) -> None:
    """Let Polar take half of a take-back in doubt; its delivery ends, and another is due for the rest."""
    service.rules = rules_of(rule("pack", {"api_usage": 100, "images": 10}, on_refund="revoke"))
    service.polar.known = lambda _customer: True
    service.tell("msg-1", order_webhook())
    leased = service.store.store_and_lease([("msg-2", peek_type(body) or "", body)])
    claims = plan_and_claim(service.granter, Lease(deliveries=leased)).standings["msg-2"].claims
    (half,) = (
        one for claim in claims for one in claim.unsettled if one.meter == "api_usage" and one.units < 0
    )
    service.polar.ingest([usage_event(half)])
    service.ledger.settle([half], [], {half.key})
    assert service.replay("msg-2", by_name=False).status in {Status.SKIPPED, Status.GRANTED}
    doubts = UnconfirmedStore(service.redis, service.ledger)
    doubts.write([Reading(grant=half, is_equal=True)])


@pytest.mark.parametrize("sender", ["take-back", "msg-3"])
@pytest.mark.parametrize("body", [REFUND, REVOKE], ids=["refund", "revoke"])
def test_a_take_back_that_outlived_its_delivery_rests_with_the_one_that_polar_refused(
    service: Service, body: bytes, sender: str
) -> None:
    hold(service, body)
    service.polar.known = lambda _customer: False
    if sender == "msg-3":
        service.fail_and_dismiss("msg-3", order_webhook())
    (other,) = service.granter.run(service.store.lease(500))
    if sender == "take-back":
        assert other.status is Status.FAILED
        sender = other.delivery_id
        service.store.dismiss([sender], retain=RETAIN)
        service.polar.known = lambda _customer: True
    for delivery_id, again in (("msg-4", body), ("msg-5", order_webhook())):
        assert service.tell(delivery_id, again).status is Status.SKIPPED
    assert service.replay("msg-2", by_name=True).status in {Status.SKIPPED, Status.GRANTED}
    assert service.polar.balance(CUSTOMER, "images") == 10
    (dismissed,) = service.store.get([sender])
    replayer = Replayer(deliveries=service.store, ledger=service.ledger)
    prospect = replayer.preview(dismissed, service.rules, by_name=True)
    assert [one.meter for one in prospect.grants] == ["images"]
    assert service.replay(sender, by_name=True).status is Status.GRANTED
    assert service.polar.balance(CUSTOMER, "images") == (5 if body == REFUND else 0)
