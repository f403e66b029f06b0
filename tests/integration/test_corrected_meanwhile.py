"""An order is corrected while refunds of it are on their way: none goes by the amount that was wrong."""

from collections.abc import Iterator

import pytest
from redis import Redis

from config.rules import Rules
from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of
from tests.support.ledgers import come, look, rebuild, rebuilding_at, run, standing_of
from tests.support.polar_orders import Mending
from workers.core.claims import Standing, TakeBack
from workers.core.delivery_plans import refund_plan
from workers.core.manual import ManualRevoke
from workers.core.takebacks import refund_take_back

PACK = rule("pack", {"api_usage": 100}, triggers=["purchase"], on_refund="revoke")
TEN = rules_of(PACK.replace("100", "10"))
HUNDRED = rules_of(PACK)
KEPT_TEN = rules_of(PACK.replace("100", "10").replace("revoke", "keep"))
PAID = order_webhook()
ALL_OF_IT = refund_webhook(1000)

BOTH_WAYS = pytest.mark.parametrize(("then", "now"), [(TEN, HUNDRED), (HUNDRED, TEN)], ids=["less", "more"])


@pytest.fixture
def mending(redis: Redis) -> Iterator[Mending]:
    with rebuilding_at(redis) as opened:
        yield opened


def claim_anew(mending: Mending, then: Rules, now: Rules) -> None:
    """Credit an order by the rules of ``then``, lose that, and claim it by those of ``now``."""
    mending.rules = then
    come(mending, PAID)
    mending.redis.flushall()
    mending.rules = now
    come(mending, PAID)


def worked_out(standing: Standing) -> TakeBack:
    """Return what a worker would take back now, and has not frozen yet."""
    taking = refund_take_back(standing, "msg-r")
    assert taking is not None
    return taking


@BOTH_WAYS
def test_what_was_worked_out_before_the_correction_is_worked_out_anew(
    mending: Mending, then: Rules, now: Rules
) -> None:
    claim_anew(mending, then, now)
    (standing,) = mending.ledger.claim([("msg-r", refund_plan(ALL_OF_IT))])
    taking = worked_out(standing)
    assert rebuild(mending).corrected == 1
    mending.ledger.take_back([taking])
    come(mending, ALL_OF_IT)
    assert mending.balance() == 0


@BOTH_WAYS
def test_an_order_of_which_a_taking_is_on_its_way_is_corrected_when_that_has_ended(
    mending: Mending, then: Rules, now: Rules
) -> None:
    claim_anew(mending, then, now)
    (standing,) = mending.ledger.claim([("msg-r", refund_plan(ALL_OF_IT))])
    mending.ledger.take_back([worked_out(standing)])  # and here the worker was stopped
    done = rebuild(mending)
    assert (done.corrected, done.changed) == (0, [standing.subject])
    run(mending, [("msg-r", "order.refunded", ALL_OF_IT)])
    assert rebuild(mending).corrected == 1
    found = look(mending)
    assert (
        found.over_reversed or found.refund_incomplete
    )  # it was frozen by the wrong amount, and people are told


def test_a_refund_that_took_too_little_by_the_wrong_amount_is_told_at_every_look(mending: Mending) -> None:
    claim_anew(mending, HUNDRED, TEN)
    come(mending, ALL_OF_IT)  # took 10 of what were 100
    subject = standing_of(mending).subject
    assert rebuild(mending).refund_incomplete == look(mending).refund_incomplete == [subject]
    run(mending, [ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()])
    assert mending.balance() == 0


def test_a_noted_refund_that_may_take_something_since_the_correction_is_told(mending: Mending) -> None:
    claim_anew(mending, HUNDRED, KEPT_TEN)
    come(mending, ALL_OF_IT)
    mending.rules = HUNDRED
    assert rebuild(mending).refund_pending == [standing_of(mending).subject]
