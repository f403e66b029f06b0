"""A take-back whose one half is in doubt holds back the other half, which a rebuild makes due again."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import CUSTOMER, order_webhook, refund_webhook, rule, rules_of
from tests.support.leased import plan_and_claim
from tests.support.ledgers import rebuild, refunding_operations_at
from tests.support.polar_orders import Operations
from workers.core.delivery import Lease, Status
from workers.core.grants import REFUND
from workers.core.usage_events import usage_event


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    with refunding_operations_at(redis) as opened:
        opened.rules = rules_of(rule("pack", {"api_usage": 100, "images": 10}, on_refund="revoke"))
        yield opened


def test_the_half_that_polar_lacks_follows_once_the_other_is_corrected(operations: Operations) -> None:
    assert operations.deliver(order_webhook()) is Status.GRANTED
    leased = operations.store.store_and_lease([("msg-2", "order.refunded", refund_webhook(500))])
    claimed = plan_and_claim(operations.granter, Lease(deliveries=leased))
    (taking,) = [one for one in claimed.standings["msg-2"].claims if one.subject.startswith(REFUND)]
    half = next(one for one in taking.grants if one.meter == "api_usage")
    (part,) = half.parts
    at_polar = replace(half, parts=(replace(part, units=part.units + 20),))  # from before the ledger was lost
    operations.client.ingest([usage_event(at_polar)])
    operations.ledger.settle(
        [half], [], {half.key}
    )  # its request counted a duplicate; the other one got a 500
    (again,) = operations.granter.run(Lease(deliveries=operations.store.reopen(["msg-2"])))
    assert again.status is Status.SKIPPED
    rebuild(operations)
    operations.run_due()
    assert operations.polar.balance(CUSTOMER, "images") == 5
    assert operations.polar.balance(CUSTOMER, "api_usage") == 70
