"""An order is corrected while refunds of it are on their way: none goes by the amount that was wrong."""

from collections.abc import Iterator

import pytest
from redis import Redis

from config.rules import Rules
from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of
from tests.support.ledgers import come, compare, rebuild, refunding_operations_at, run, standing_of
from tests.support.polar_orders import Operations
from tests.support.reversals import refund_take_back
from workers.core.claims import Standing
from workers.core.delivery_plans import refund_plan
from workers.core.later_claims import TakeBack
from workers.core.manual import ManualRevoke

PACK = rule("pack", {"api_usage": 100}, triggers=["purchase"], on_refund="revoke")
TEN = rules_of(PACK.replace("100", "10"))
HUNDRED = rules_of(PACK)
KEPT_TEN = rules_of(PACK.replace("100", "10").replace("revoke", "keep"))
PAID = order_webhook()
ALL_OF_IT = refund_webhook(1000)

BOTH_WAYS = pytest.mark.parametrize(("then", "now"), [(TEN, HUNDRED), (HUNDRED, TEN)], ids=["less", "more"])


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    with refunding_operations_at(redis) as opened:
        yield opened


def claim_anew(operations: Operations, then: Rules, now: Rules) -> None:
    """Grant an order by the rules of ``then``, lose the ledger, and claim it by those of ``now``."""
    operations.rules = then
    come(operations, PAID)
    operations.redis.flushall()
    operations.rules = now
    come(operations, PAID)


def worked_out(standing: Standing) -> TakeBack:
    """Return the take-back that a worker has computed but not frozen yet."""
    taking = refund_take_back(standing, "msg-r")
    assert taking is not None
    return taking


@BOTH_WAYS
def test_a_take_back_computed_before_a_correction_is_computed_anew(
    operations: Operations, then: Rules, now: Rules
) -> None:
    claim_anew(operations, then, now)
    (standing,) = operations.ledger.claim([("msg-r", refund_plan(ALL_OF_IT))])
    taking = worked_out(standing)
    assert rebuild(operations).corrected == 1
    operations.ledger.take_back([taking])
    come(operations, ALL_OF_IT)
    assert operations.balance() == 0


@BOTH_WAYS
def test_an_order_with_an_unsettled_take_back_is_corrected_afterwards(
    operations: Operations, then: Rules, now: Rules
) -> None:
    claim_anew(operations, then, now)
    (standing,) = operations.ledger.claim([("msg-r", refund_plan(ALL_OF_IT))])
    operations.ledger.take_back([worked_out(standing)])  # and here the worker was stopped
    done = rebuild(operations)
    assert (done.corrected, done.changed) == (0, [standing.subject])
    run(operations, [("msg-r", "order.refunded", ALL_OF_IT)])
    assert rebuild(operations).corrected == 1
    found = compare(operations)
    assert (
        found.over_reversed or found.refund_incomplete
    )  # it was frozen by the wrong amount, and people are told


def test_a_refund_that_took_too_little_by_the_wrong_amount_is_told_at_every_look(
    operations: Operations,
) -> None:
    claim_anew(operations, HUNDRED, TEN)
    come(operations, ALL_OF_IT)  # took 10 of what were 100
    subject = standing_of(operations).subject
    assert rebuild(operations).refund_incomplete == compare(operations).refund_incomplete == [subject]
    run(operations, [ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()])
    assert operations.balance() == 0


def test_a_noted_refund_that_may_take_something_since_the_correction_is_told(operations: Operations) -> None:
    claim_anew(operations, HUNDRED, KEPT_TEN)
    come(operations, ALL_OF_IT)
    operations.rules = HUNDRED
    assert rebuild(operations).refund_pending == [standing_of(operations).subject]
