"""Where the ledger has another amount than Polar it gets Polar's, and refunds go on from there."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import (
    CUSTOMER,
    ORDER,
    fact_like,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
    webhook,
)
from tests.support.fake_service import HUNDRED, TWENTY
from tests.support.ledgers import (
    OldLedger,
    come,
    compare,
    rebuild,
    rebuilder_of,
    refunding_operations_at,
    run,
    standing_of,
)
from tests.support.polar_orders import Operations, sell
from tests.support.polar_standin import ingest
from tests.support.real_stores import claim_of
from workers.core.claims import Standing
from workers.core.delivery import Status
from workers.core.grants import Part, customer_subject, order_subject
from workers.core.manual import ManualRevoke
from workers.core.planning import plan_for
from workers.operations.rebuild.comparison import LedgerComparison
from workers.operations.rebuild.run import RebuildResult
from workers.store.audit import Audit

SUBJECT = order_subject(ORDER)
PAID = order_webhook()
PACK = rule("pack", {"api_usage": 100}, triggers=["purchase"], on_refund="revoke")
GIFT = rule("gift", {"api_usage": 7}, triggers=["purchase"])
TEN_THEN = rules_of(PACK.replace("100", "10"))
REVOKED = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield operations with a rule that grants 100 and takes them back on a refund."""
    with refunding_operations_at(redis) as opened:
        yield opened


def restore(operations: Operations, found: LedgerComparison, *then: Standing) -> RebuildResult:
    """Apply the corrections that were found; ``then`` is what the ledger had when they were computed."""
    rebuilder = rebuilder_of(operations)
    if then:
        rebuilder = replace(rebuilder, ledger=OldLedger(operations.redis, list(then)))
    return rebuilder.restore(found, on_progress=lambda _done, _whole: None)


@pytest.fixture
def anew(operations: Operations, redis: Redis) -> Operations:
    """Yield operations that granted 10, lost the ledger, and claimed 100 for the same order: Polar has 10."""
    operations.rules = TEN_THEN
    come(operations, PAID)
    redis.flushall()
    operations.rules = HUNDRED
    come(operations, PAID)
    return operations


def test_an_order_that_was_claimed_anew_gets_what_polar_has_and_a_refund_takes_no_more(
    anew: Operations,
) -> None:
    done = rebuild(anew)
    assert (done.grants, done.corrected, done.changed) == (0, 1, [])
    claim = claim_of(standing_of(anew))
    assert claim.grants[0].parts == (Part(rule="pack", units=Decimal(10), revocable=True),)
    assert set(claim.settled) == {"api_usage"}
    assert compare(anew).differing == []
    come(anew, refund_webhook(1000))
    assert anew.balance() == 0


def test_refunds_that_were_taken_at_once_are_told_apart_again(operations: Operations, redis: Redis) -> None:
    """The refunds of 300 and 600 took 30 each; the backfill took 60 under the second key, which Polar had."""
    paid = sell(operations.polar, 1)
    come(operations, paid, refund_webhook(300, id=some_id(1)), refund_webhook(600, id=some_id(1)))
    redis.flushall()
    row = operations.polar.orders[some_id(1)].model_dump(mode="json")
    operations.polar.add_order(**row | {"refunded_amount": 600, "status": "partially_refunded"})
    operations.backfill()
    operations.confirmer.run_if_due()
    assert operations.run_due() == [Status.GRANTED]
    done = rebuild(operations)
    assert (done.grants, done.corrected) == (1, 1)
    taken = {"api_usage": {"pack": Decimal(60)}}
    assert standing_of(operations, order_subject(some_id(1))).taken == taken
    come(operations, refund_webhook(1000, id=some_id(1)))
    assert operations.balance() == 0


def test_of_several_rules_and_refunds_what_was_taken_is_worked_out_anew(
    operations: Operations, redis: Redis
) -> None:
    operations.rules = rules_of(PACK.replace("100", "50"), GIFT)
    come(operations, PAID, refund_webhook(500))
    redis.flushall()
    operations.rules = rules_of(PACK, GIFT)
    come(operations, PAID, refund_webhook(500))  # 50 of 107; Polar has 25 of 57
    assert rebuild(operations).corrected == 2
    standing = standing_of(operations)
    assert claim_of(standing).grants[0].units == 57
    assert standing.taken == {"api_usage": {"pack,gift": Decimal(25)}}
    run(operations, [REVOKED])
    assert operations.balance() == 0


def test_a_meter_that_is_right_stays_with_its_rules(operations: Operations, redis: Redis) -> None:
    seconds = rule("more", {"seconds": 5}, triggers=["purchase"])
    operations.rules = rules_of(PACK.replace("100", "50"), seconds, seconds.replace("more", "most"))
    come(operations, PAID)
    redis.flushall()
    operations.rules = rules_of(PACK, seconds, seconds.replace("more", "most"))
    come(operations, PAID)
    assert rebuild(operations).corrected == 1
    parts = {one.meter: [part.rule for part in one.parts] for one in claim_of(standing_of(operations)).grants}
    assert parts == {"api_usage": ["pack"], "seconds": ["more", "most"]}


def test_a_bonus_and_a_welcome_get_what_polar_has(operations: Operations, redis: Redis) -> None:
    created = webhook("customer_created", id=CUSTOMER)
    for units in (5, 8):
        redis.flushall()
        bonus = rule("bonus", {"seconds": units}, once_per="customer")
        operations.rules = rules_of(bonus, rule("welcome", {"images": units}, triggers=["customer.created"]))
        come(operations, PAID, created)
    assert rebuild(operations).corrected == 2
    entries = Audit(redis, operations.ledger).of_customer(CUSTOMER)
    assert [one.grant.units for one in entries] == [5, 5]
    assert standing_of(operations, customer_subject(CUSTOMER, "bonus")).taken == {}


def test_what_its_delivery_has_not_settled_is_left_to_that(operations: Operations, redis: Redis) -> None:
    come(operations, PAID)
    redis.flushall()
    operations.ledger.claim([("msg-1", plan_for(fact_like(), TWENTY))])
    found = compare(operations)
    assert [one.kept_because for one in found.kept] == ["its delivery is not settled yet"]
    assert restore(operations, found).corrected == 0
    assert claim_of(standing_of(operations)).grants[0].units == 20


@pytest.mark.parametrize("days", [-1, 1])
def test_where_another_event_has_the_key_nobody_knows_whose_is_true_and_the_ledger_stays(
    anew: Operations, days: int
) -> None:
    """A copy may have an earlier time than the true event."""
    true = anew.polar.stored[0]
    copy = {name: one for name, one in true.sent.items() if name != "external_id"}
    ingest(anew.polar, copy | {"metadata": true.metadata | {"units": -3}})
    anew.polar.stored[-1] = replace(anew.polar.stored[-1], timestamp=true.timestamp + timedelta(hours=days))
    found = compare(anew)
    assert [one.kept_because for one in found.kept] == ["another event has the same key"]
    assert restore(anew, found).corrected == 0
    assert claim_of(standing_of(anew)).grants[0].units == 100


def test_what_is_taken_back_in_the_last_moment_is_not_written_over(anew: Operations) -> None:
    found, then = compare(anew), standing_of(anew)
    come(anew, refund_webhook(300))
    done = restore(anew, found, then)
    assert (done.corrected, done.changed) == (0, [SUBJECT])
    assert standing_of(anew).taken == {"api_usage": {"pack": Decimal(30)}}
    assert rebuild(anew).corrected == 1
    assert standing_of(anew).taken == {"api_usage": {"pack": Decimal(30)}}
    assert compare(anew).over_reversed == {(ORDER, "api_usage"): 20}


def test_of_two_rebuilds_that_correct_at_once_one_does(anew: Operations) -> None:
    first, second, then = compare(anew), compare(anew), standing_of(anew)
    assert restore(anew, first).corrected == 1
    for done in (restore(anew, second), restore(anew, second, then)):
        assert (done.corrected, done.changed) == (0, [SUBJECT])
    assert claim_of(standing_of(anew)).grants[0].units == 10
