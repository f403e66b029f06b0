"""Redis comes back without its newest data, leases included, while a worker holds on to what it has read.

The next worker's lease has the same number then, and its rules may be others.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import pytest
from redis import Redis

from tests.support.adjusted_orders import buy, given_to, pack
from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.fake_service import HUNDRED, NOBODY
from tests.support.leased import plan_and_claim
from tests.support.polar_orders import Operations, operations_at
from tests.support.real_stores import accept, let_leases_end
from workers.core.adjust_delivery import ManualAdjust, Wanted
from workers.core.delivery import Lease, Status
from workers.core.grants import order_subject
from workers.pipeline.leases import Accepted, ClaimedLease, IngestedLease
from workers.store.unconfirmed import Doubts

FIFTY = rules_of(rule("pack", {"api_usage": 50}, on_refund="revoke"))
BOTH = rules_of(rule("pack", {"api_usage": 100, "images": 5}, on_refund="revoke"))


class Snapshot:
    """All that Redis holds when the order's webhook has just been accepted."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._values: Mapping[bytes, tuple[int, bytes]] = {
            key: (max(int(redis.pttl(key)), 0), redis.dump(key) or b"") for key in redis.scan_iter()
        }

    def restore(self) -> None:
        """Let Redis come back with this."""
        self._redis.flushdb()
        for key, (left_ms, value) in self._values.items():
            self._redis.restore(key, left_ms, value)


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    with operations_at(redis) as opened:
        opened.polar.add_meter("images", "count")
        opened.rules = HUNDRED
        yield opened


@pytest.fixture
def accepted_only(operations: Operations, redis_url: str) -> Snapshot:
    accept(redis_url, "msg-1", body=order_webhook())
    return Snapshot(operations.redis)


def claim(operations: Operations) -> ClaimedLease:
    return plan_and_claim(operations.granter, operations.store.lease(10))


def ingest(operations: Operations, accepted: dict[str, Accepted] | None = None) -> IngestedLease:
    return operations.granter.ingest(claim(operations), {} if accepted is None else accepted)


def refund_all(operations: Operations) -> None:
    operations.deliver(refund_webhook(1000), "msg-2")
    operations.run_due()


def test_an_amount_that_another_worker_claimed_anew_is_read_back(
    operations: Operations, accepted_only: Snapshot
) -> None:
    operations.rules = FIFTY
    sent = ingest(operations)
    accepted_only.restore()
    operations.rules = HUNDRED
    claimed = claim(operations)
    operations.granter.settle(sent)
    operations.granter.settle(operations.granter.ingest(claimed, {}))
    refund_all(operations)
    assert operations.balance() == 50  # nothing is taken of what Polar may have less of
    operations.confirmer.run_if_due()
    (mismatch,) = Doubts(operations.redis).mismatches(10)
    assert str(mismatch) == f"{order_subject(ORDER)}:api_usage: 100 in the ledger, 50 at Polar"


def test_a_grant_that_is_not_claimed_anew_is_not_settled(
    operations: Operations, accepted_only: Snapshot
) -> None:
    operations.rules = BOTH
    sent = ingest(operations)
    accepted_only.restore()
    operations.rules = HUNDRED
    claim(operations)
    operations.granter.settle(sent)
    own = operations.ledger.find(order_subject(ORDER)).own
    assert own is not None
    assert list(own.settled) == ["api_usage"]


def test_a_skip_by_other_rules_leaves_a_new_claim_to_be_sent(
    operations: Operations, accepted_only: Snapshot
) -> None:
    operations.rules = NOBODY
    skipped = ingest(operations)
    accepted_only.restore()
    operations.rules = HUNDRED
    claim(operations)  # by a worker that is killed now
    assert operations.granter.settle(skipped) == []
    assert operations.run_due() == [Status.GRANTED]
    assert operations.balance() == 100


def test_what_was_accepted_earlier_in_a_drain_is_settled_again(
    operations: Operations, accepted_only: Snapshot
) -> None:
    accepted: dict[str, Accepted] = {}
    operations.granter.settle(ingest(operations, accepted))
    accepted_only.restore()
    operations.granter.settle(ingest(operations, accepted))
    assert operations.ledger.find(order_subject(ORDER)).can_be_taken_back
    refund_all(operations)
    assert operations.balance() == 0


def test_a_skipped_adjustment_leaves_the_one_that_another_worker_froze_to_be_sent(
    operations: Operations,
) -> None:
    operations.rules = pack(100)
    buy(operations, 1)
    before = Snapshot(operations.redis)
    unchanged = operations.granter.ingest(claim_adjustment(operations, 100), {})
    before.restore()
    claim_adjustment(operations, 50)  # by a worker that is killed now
    assert operations.granter.settle(unchanged) == []
    let_leases_end(operations.redis)
    assert operations.run_due() == [Status.GRANTED]
    assert given_to(operations, 1) == 57


def claim_adjustment(operations: Operations, units: int) -> ClaimedLease:
    """Ask to adjust order 1 to so much, and claim what that leads to."""
    wanted = Wanted(meter="api_usage", property_name="units", units=Decimal(units), revocable=True)
    request = ManualAdjust(order_id=some_id(1), customer_id=CUSTOMER, rule="pack", number=1, wanted=(wanted,))
    leased = operations.store.store_and_lease([request.delivery()])
    return plan_and_claim(operations.granter, Lease(deliveries=leased))
