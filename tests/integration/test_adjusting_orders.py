"""Orders are adjusted on a real Redis: found in the ledger, frozen, sent once, whatever dies meanwhile."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from app.demo.polar.faults import Status as Answer
from tests.support.adjusted_orders import (
    MOMENTS,
    adjust,
    adjuster_of,
    buy,
    doomed_granter,
    find,
    given_to,
    pack,
    refund,
)
from tests.support.builders import CUSTOMER, METERS, PAID_CENTS, order_webhook, rule, rules_of, some_id
from tests.support.killed import KilledError
from tests.support.ledgers import run, standing_of
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.real_stores import RETAIN, let_leases_end, let_pause_end
from workers.core.adjusted import credited
from workers.core.adjustments import IN_FLIGHT, NOT_AT_POLAR
from workers.core.delivery import Lease, Status
from workers.core.grants import order_subject
from workers.core.manual import ManualRevoke
from workers.operations.adjust.run import RuleNotAdjustableError, adjustable_rule
from workers.operations.adjust.scan import NOT_STORED, UNKNOWN_AT_POLAR, by_reason
from workers.store import keys
from workers.store.audit import Audit


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what credits 5 and a gift of 7."""
    with operations_at(redis) as opened:
        opened.rules = pack(5)
        for meter, summed in METERS.items():
            opened.polar.add_meter(meter, summed)
        yield opened


def test_all_orders_since_then_end_with_what_the_rule_says(operations: Operations) -> None:
    buy(operations, 1, 2, 3, 4)
    refund(operations, 2, 300)
    refund(operations, 3, PAID_CENTS)
    operations.rules = pack(50)
    scan = find(operations)
    assert (scan.read, len(scan.adjusting), scan.unchanged, list(scan.skipped)) == (4, 3, 1, [])
    assert {one.status for one in adjust(operations)} == {Status.GRANTED}
    assert [given_to(operations, number) for number in (1, 2, 3, 4)] == [57, 42, 7, 57]
    assert find(operations).is_empty
    refund(operations, 1, 600)
    refund(operations, 2, 600)
    assert [given_to(operations, number) for number in (1, 2)] == [27, 27]


def test_hundreds_are_adjusted_in_batches(operations: Operations) -> None:
    buy(operations, *range(1, 451))
    operations.rules = pack(50)
    assert len(adjust(operations)) == 450
    assert operations.balance() == 450 * 57
    assert find(operations).unchanged == 450


def test_the_ledger_lists_adjustments_with_their_orders(operations: Operations) -> None:
    buy(operations, 1)
    operations.rules = pack(2)
    adjust(operations)
    audit = Audit(operations.redis, operations.ledger)
    amounts = [12, -3]
    assert [one.grant.units for one in audit.of_order(some_id(1))][::-1] == amounts
    assert [one.grant.units for one in audit.of_customer(CUSTOMER)][::-1] == amounts
    assert [one.grant.units for one in audit.newest()][::-1] == amounts
    (delivery,) = operations.store.get([f"adjust-{some_id(1)}-1"])
    assert (delivery.type, delivery.reason, delivery.order_id) == (
        "manual.adjust",
        "took back 3 api_usage",
        some_id(1),
    )


def test_only_orders_credited_in_the_time_count(operations: Operations) -> None:
    buy(operations, 1)
    wanted = operations.rules.rules[0]
    now, day = datetime.now(UTC) + timedelta(milliseconds=5), timedelta(days=1)
    for since, until in ((now, now + day), (now - 2 * day, now - day)):
        found = adjuster_of(operations).find(wanted, operations.rules, since=since, until=until)
        assert found.read == 0


def test_each_skipped_order_has_its_reason(operations: Operations) -> None:
    buy(operations, 1, 2, 3)
    run(operations, [ManualRevoke(order_id=some_id(1), customer_id=CUSTOMER).delivery()])
    operations.redis.delete(keys.body("msg-2"))
    operations.polar.faults.append(Answer(500))
    operations.deliver(order_webhook(id=some_id(4)), "msg-4")
    operations.rules = pack(50)
    scan = find(operations)
    assert by_reason(scan.skipped) == {"revoked by hand": 1, NOT_STORED: 1, NOT_AT_POLAR: 1}
    assert [one.order_id for one in scan.adjusting] == [some_id(3)]


def test_an_order_whose_whole_webhook_cannot_be_parsed_fails_alone(operations: Operations) -> None:
    """The rule that credited it asked nothing of the webhook. Today's does."""
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    buy(operations, 1, metadata={"deep": deep})
    buy(operations, 2)
    operations.rules = pack("order.net_amount")
    scan = find(operations)
    assert [(one.order_id, one.reason[:26]) for one in scan.failing] == [
        (some_id(1), "the body cannot be read: b")
    ]
    assert [one.order_id for one in scan.adjusting] == [some_id(2)]


def test_orders_that_the_rule_does_not_concern_are_not_listed(operations: Operations) -> None:
    buy(operations, 1)
    run(operations, [ManualRevoke(order_id=some_id(1), customer_id=CUSTOMER).delivery()])
    operations.rules = rules_of(rule("other", {"api_usage": 50}, products=[some_id(99)]))
    scan = find(operations, rule_name="other")
    assert (scan.read, scan.unchanged, list(scan.skipped)) == (1, 1, [])


def test_the_stored_webhook_counts_as_it_was(operations: Operations) -> None:
    operations.rules = pack("5 * order.metadata.size")
    buy(operations, 1, metadata={"size": 2})
    sell(operations.polar, 1, metadata={"size": 9})
    operations.rules = pack("50 * order.metadata.size")
    adjust(operations, assume_current=True)
    assert given_to(operations, 1) == 107


def test_without_its_webhook_an_order_is_read_from_polar_only_if_that_is_asked_for(
    operations: Operations,
) -> None:
    buy(operations, 1, 2, 3)
    sell(operations.polar, 1, days_ago=0.5)
    sell(operations.polar, 2, days_ago=400)  # no list of the last weeks has it
    for number in (1, 2, 3):
        operations.redis.delete(keys.body(f"msg-{number}"))
    operations.rules = pack(50)
    assert by_reason(find(operations).skipped) == {NOT_STORED: 3}
    scan = find(operations, assume_current=True)
    assert by_reason(scan.skipped) == {UNKNOWN_AT_POLAR: 1}
    adjust(operations, assume_current=True)
    assert [given_to(operations, number) for number in (1, 2, 3)] == [57, 57, 12]


@pytest.mark.parametrize("says", [50, 2])
@pytest.mark.parametrize("moment", MOMENTS)
def test_whenever_it_is_killed_the_next_run_finishes(operations: Operations, moment: str, says: int) -> None:
    buy(operations, 1, 2)
    refund(operations, 2, 500)
    operations.rules = pack(says)
    with pytest.raises(KilledError):
        adjust(operations, doomed_granter(operations, moment))
    adjust(operations)
    operations.confirmer.run_if_due()
    operations.run_due()  # refunds take nothing more, now that it is certain what Polar has
    assert [given_to(operations, number) for number in (1, 2)] == [7 + says, 7 + says / 2]
    assert find(operations).is_empty
    assert sum("adjust" in event["external_id"] for event in operations.polar.events) == 2
    assert operations.redis.zcard(keys.DUE) == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_whenever_it_is_killed_a_worker_finishes(operations: Operations, moment: str) -> None:
    buy(operations, 1)
    operations.rules = pack(50)
    with pytest.raises(KilledError):
        adjust(operations, doomed_granter(operations, moment))
    operations.rules = pack(99)  # the request was for 50
    let_leases_end(operations.redis)
    operations.run_due()
    assert given_to(operations, 1) == 57


def test_a_refund_that_came_while_it_was_killed_takes_its_share_in_the_end(operations: Operations) -> None:
    buy(operations, 1)
    operations.rules = pack(50)
    with pytest.raises(KilledError):
        adjust(operations, doomed_granter(operations, "before send"))
    assert refund(operations, 1, 600) is Status.SKIPPED
    adjust(operations)
    assert given_to(operations, 1) == 27
    assert find(operations).is_empty


def test_an_outage_pauses_it_and_the_workers_finish(operations: Operations) -> None:
    buy(operations, 1)
    operations.rules = pack(50)
    operations.polar.faults += [Answer(503)] * 2
    with pytest.raises(Exception, match="Polar accepts nothing"):
        adjust(operations)
    assert [one.order_id for one in find(operations).skipped] == []
    let_pause_end(operations.redis)
    let_leases_end(operations.redis)
    operations.run_due()
    assert given_to(operations, 1) == 57


def test_a_failed_adjustment_is_left_to_a_person(operations: Operations) -> None:
    buy(operations, 1)
    operations.rules = pack(50)
    known = operations.polar.customers.pop(CUSTOMER)
    (failed,) = adjust(operations)
    operations.polar.customers[CUSTOMER] = known
    assert failed.status is Status.FAILED
    assert by_reason(find(operations).skipped) == {IN_FLIGHT: 1}
    operations.granter.run(
        type(operations.store.lease(1))(deliveries=operations.store.reopen([failed.delivery_id]))
    )
    assert given_to(operations, 1) == 57


def test_a_refund_that_waits_for_an_adjustment_takes_its_share_when_a_person_dismisses_that(
    operations: Operations,
) -> None:
    buy(operations, 1)
    operations.rules = pack(50)
    customer = operations.polar.customers.pop(CUSTOMER)
    (failed,) = adjust(operations)
    assert failed.status is Status.FAILED
    refund(operations, 1, PAID_CENTS)
    operations.polar.customers[CUSTOMER] = customer
    operations.store.dismiss([failed.delivery_id], retain=RETAIN)
    operations.run_due()
    assert given_to(operations, 1) == 7


def test_ordinary_orders_have_no_new_fields(operations: Operations, redis: Redis) -> None:
    buy(operations, 1, 2)
    operations.rules = pack(50)
    fields = set(redis.hkeys(order_subject(some_id(2))))
    assert fields == {
        b"delivery",
        b"customer",
        b"claimed_at",
        b"grant:api_usage",
        b"settled:api_usage",
        b"before",
    }
    adjust(operations)
    assert set(redis.hkeys(order_subject(some_id(2)))) == fields | {b"adjusted", b"also"}
    assert [grant.units for grant in credited(standing_of(operations, order_subject(some_id(2))))] == [57]


@pytest.mark.parametrize(
    ("lines", "name", "words"),
    [
        ([], "pak", "unknown rule 'pak'"),
        ([rule("pack", {"api_usage": 1})], "pak", "did you mean 'pack'"),
        ([rule("first", {"api_usage": 1}, once_per="customer")], "first", "once_per"),
        ([rule("hello", {"api_usage": 1}, triggers=["customer.created"])], "hello", "not orders"),
        ([rule("period", {"api_usage": 1}, triggers=["subscription.cycled"])], "period", "not orders"),
        ([rule("begun", {"api_usage": 1}, triggers=["subscription.created"])], "begun", "not orders"),
    ],
)
def test_a_rule_without_orders_of_its_own_is_refused(lines: list[str], name: str, words: str) -> None:
    with pytest.raises(RuleNotAdjustableError, match=words):
        adjustable_rule(name, rules_of(*lines))


def test_a_dismissed_take_back_that_is_replayed_while_an_adjustment_is_open_follows_it(
    operations: Operations,
) -> None:
    buy(operations, 1)
    operations.polar.faults.append(Answer(422))
    assert refund(operations, 1, 600) is Status.FAILED
    operations.store.dismiss(["refund-1-600"], retain=RETAIN)
    operations.rules = pack(50)
    with pytest.raises(KilledError):
        adjust(operations, doomed_granter(operations, "before send"))
    leased = operations.store.reopen(["refund-1-600"], by_name=True)
    (held,) = operations.granter.run(Lease(deliveries=leased))
    assert (held.status, given_to(operations, 1)) == (Status.SKIPPED, 12)
    let_leases_end(operations.redis)
    assert operations.run_due() == [Status.GRANTED]
    assert operations.run_due() == [Status.GRANTED]
    assert given_to(operations, 1) == 27
