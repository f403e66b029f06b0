"""What refunds and revokes may take of credits that were read back from Polar."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, ORDER, refund_webhook, rules_of
from tests.support.fake_service import KEPT, NOBODY
from tests.support.ledgers import GIFT, PACK, PAID, come, rebuild, refunding_operations_at, run, standing_of
from tests.support.polar_orders import Operations
from tests.support.real_stores import RETAIN, claim_of
from workers.core.delivery import Status
from workers.core.grants import Part
from workers.core.manual import ManualRevoke


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credits by rules of 100, revoked with a refund."""
    with refunding_operations_at(redis) as opened:
        yield opened


def taken_at_polar(operations: Operations, cents: int) -> float:
    """Return what this refund of the usual order took."""
    key = f"credits:refund:{ORDER}:{cents}:api_usage"
    (units,) = [one["metadata"]["units"] for one in operations.polar.events if one["external_id"] == key]
    return float(units)


def test_later_refunds_take_what_they_would_have_taken(operations: Operations, redis: Redis) -> None:
    come(operations, PAID, refund_webhook(333))
    redis.flushall()
    rebuild(operations)
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(33)}}
    assert come(operations, refund_webhook(333), refund_webhook(600)) == [Status.SKIPPED, Status.GRANTED]
    assert taken_at_polar(operations, 600) == 27
    come(operations, refund_webhook(1000))
    assert operations.balance() == 0


def test_what_a_refund_may_take_is_as_todays_rules_say(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    redis.flushall()
    operations.rules = KEPT
    rebuild(operations)
    assert claim_of(standing_of(operations)).grants[0].parts == (Part(rule="pack", units=Decimal(100)),)


def test_what_a_refund_has_taken_from_may_be_taken_whatever_rules_say(
    operations: Operations, redis: Redis
) -> None:
    come(operations, PAID, refund_webhook(300))
    redis.flushall()
    operations.rules = NOBODY
    rebuild(operations)
    come(operations, refund_webhook(1000))
    assert operations.balance() == 0


@pytest.mark.parametrize(("gift", "revocable"), [(GIFT, False), (GIFT[:-1] + ", on_refund: revoke}", True)])
def test_shares_of_several_rules_are_one_and_may_be_taken_if_all_of_them_may(
    operations: Operations, redis: Redis, gift: str, revocable: bool
) -> None:
    operations.rules = rules_of(PACK, gift)
    come(operations, PAID)
    redis.flushall()
    rebuild(operations)
    (grant,) = claim_of(standing_of(operations)).grants
    assert grant.parts == (Part(rule="pack,gift", units=Decimal(107), revocable=revocable),)


def test_of_shares_of_several_rules_a_revoke_takes_what_refunds_have_left(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, GIFT)
    come(operations, PAID, refund_webhook(500))
    redis.flushall()
    rebuild(operations)
    assert run(operations, [ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()]) == [
        Status.GRANTED
    ]
    assert operations.balance() == 0


def test_an_order_that_was_claimed_anew_knows_again_what_refunds_have_taken(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, GIFT)
    come(operations, PAID, refund_webhook(500))
    redis.flushall()
    come(operations, PAID)
    assert rebuild(operations).changed == []
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(50)}}
    come(operations, refund_webhook(1000))
    assert operations.balance() == 7


def test_shares_that_were_claimed_anew_are_taken_from_by_what_is_left_of_each(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK, GIFT[:-1] + ", on_refund: revoke}")
    come(operations, PAID, refund_webhook(500))
    redis.flushall()
    come(operations, PAID)
    rebuild(operations)
    assert standing_of(operations).taken == {"api_usage": {"pack": Decimal(49), "gift": Decimal(4)}}
    come(operations, refund_webhook(600))
    assert taken_at_polar(operations, 600) == 11


def test_a_refund_of_a_dismissed_order_that_polar_has_all_the_same_counts_after_a_rebuild(
    operations: Operations,
) -> None:
    """Polar took the credits, and no answer of Polar's ever said so."""
    operations.deliver_but_die_before_settling(PAID, "msg-1")
    customer = operations.polar.customers.pop(CUSTOMER)
    assert operations.deliver(PAID, "msg-2") is Status.FAILED
    operations.store.dismiss(["msg-2"], retain=RETAIN)
    operations.polar.customers[CUSTOMER] = customer
    assert operations.deliver(refund_webhook(300), "msg-3") is Status.SKIPPED
    rebuild(operations)
    assert operations.run_due() == [Status.GRANTED]
    assert operations.balance() == 70
