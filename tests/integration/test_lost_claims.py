"""A power failure takes the last second of the append-only file: the lease is kept, and the claim is not."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook
from tests.support.fake_service import HUNDRED
from tests.support.leased import plan_and_claim
from tests.support.polar_orders import Operations, operations_at
from tests.support.redis_servers import Server, own_redis
from workers.core.delivery import Lease, Outcome, Status
from workers.core.grants import order_subject
from workers.store import keys
from workers.store.counts import LOST_CLAIMS
from workers.store.losses import TO_DO, lost_at

_SYNC_SECONDS = 1.3  # with everysec, all that is older is on disk


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with own_redis(tmp_path) as running:
        yield running


@pytest.fixture
def operations(server: Server) -> Iterator[Operations]:
    with Redis.from_url(server.url) as redis, operations_at(redis) as opened:
        opened.rules = HUNDRED
        yield opened


def run_through_a_power_failure(
    server: Server, operations: Operations, row: tuple[str, str, bytes]
) -> list[Outcome]:
    """Process a delivery on a server that loses everything after the lease, before the settlement."""
    leased = operations.store.store_and_lease([row])
    time.sleep(_SYNC_SECONDS)
    files, kept = server.folder / "appendonlydir", server.folder / "kept"
    shutil.copytree(files, kept)
    granter = operations.granter
    ingested = granter.ingest(plan_and_claim(granter, Lease(deliveries=leased)), {})
    server.kill()
    shutil.rmtree(files)
    shutil.move(kept, files)
    server.start()
    return granter.settle(ingested)


def test_a_credit_whose_claim_is_lost_is_claimed_again(server: Server, operations: Operations) -> None:
    paid = ("msg-1", "order.paid", order_webhook())
    with capture_logs() as lines:
        assert run_through_a_power_failure(server, operations, paid) == []
    (line,) = [one for one in lines if one["event"] == "claims lost"]
    assert (line["deliveries"], line["to_do"]) == (["msg-1"], TO_DO)
    assert lost_at(operations.redis)
    (delivery,) = operations.store.get(["msg-1"])
    assert (delivery.status, delivery.reason) == (
        Status.WAITING,
        "its claim was lost with Redis's newest data: it is claimed again",
    )
    assert float(operations.redis.hget(keys.COUNTS, LOST_CLAIMS) or 0) == 1
    (outcome,) = operations.granter.run(operations.store.lease(10))
    assert outcome.status is Status.GRANTED
    assert operations.ledger.find(order_subject(ORDER)).own is not None
    # Polar had the credit already: until it is read back, its amount is in doubt.
    assert operations.deliver(refund_webhook(1000), "msg-2") is Status.SKIPPED
    operations.confirmer.run_if_due()
    operations.granter.run(operations.store.lease(10))
    assert operations.balance() == 0


def test_a_refund_whose_take_back_is_lost_takes_it_again(server: Server, operations: Operations) -> None:
    operations.deliver(order_webhook())
    refunded = ("msg-2", "order.refunded", refund_webhook(300))
    assert run_through_a_power_failure(server, operations, refunded) == []
    (outcome,) = operations.granter.run(operations.store.lease(10))
    assert outcome.reason == "took back 30 api_usage"
    assert operations.balance() == 70


def test_a_refund_that_was_noted_before_its_order_is_noted_again(
    server: Server, operations: Operations
) -> None:
    refunded = ("msg-1", "order.refunded", refund_webhook(300))
    assert run_through_a_power_failure(server, operations, refunded) == []
    (outcome,) = operations.granter.run(operations.store.lease(10))
    assert outcome.status is Status.SKIPPED
    operations.deliver(order_webhook(customer_id=CUSTOMER), "msg-2")
    operations.granter.run(operations.store.lease(10))
    assert operations.balance() == 70
