"""Which of Polar's orders were never credited: all others are left as they are, and counted."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from msgspec.structs import replace

from config.rules import Rules
from tests.support.answers import recorded
from tests.support.builders import (
    CUSTOMER,
    ORDER,
    PRODUCT,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.fake_service import BROKEN, NOBODY, TEN, Shop
from tests.support.recordings import payload
from workers.core.claims import REBUILD, Standing
from workers.core.envelope import ORDER_PAID
from workers.core.plans import Plan
from workers.operations.backfill.order_scan import OrderScan, Past
from workers.operations.backfill.scanned_orders import delivery_id_of
from workers.polar.lists import Row
from workers.store.bodies import decompress_body

NOW = datetime(2026, 12, 1, tzinfo=UTC)
SEATS = rules_of(rule("team", {"api_usage": "1000 * seats"}))
BONUS = rule("bonus", {"images": 5}, once_per="customer")


def row(like: str = "order_paid_purchase", **data: Any) -> Row:
    """Return an order as the API shows it: what a webhook has of it."""
    whole: Row = json.loads(payload(like))["data"] | data
    return whole


def scan(
    *pages: Sequence[Row],
    rules: Rules = TEN,
    shop: Shop | None = None,
    pasts: Mapping[str, Past] = MappingProxyType({}),
    **how: Any,
) -> OrderScan:
    """Return what is found in these pages, given what a shop has in its ledger, and what came before."""
    found = OrderScan(rules=rules, begin=NOW - timedelta(days=60), end=NOW, now=NOW, **how)
    for page in pages:
        found.add(page, (shop or Shop(rules)).look, lambda ids: [pasts.get(one, Past()) for one in ids])
    return found


def skip_counts(found: OrderScan) -> dict[str, int]:
    return dict(found.skipped)


def test_an_order_of_the_api_that_was_never_credited_is_missing_what_its_webhook_would_have_given() -> None:
    rows = json.loads(recorded("orders_page_1").content)["items"]
    found = scan(rows)
    assert found.read == len(rows) == 3
    assert {one.prospect.text for one in found.missing.values()} == {"grant 10 api_usage"}
    assert found.missing[ORDER].customer_id == CUSTOMER
    assert not found.failing


def test_what_is_missing_is_kept_as_the_webhook_that_never_came() -> None:
    one = scan([row()]).missing[ORDER]
    assert one.delivery_id == f"backfill-{ORDER}" == delivery_id_of(ORDER)
    body = json.loads(decompress_body(one.packed_body))
    assert body == {"type": ORDER_PAID, "timestamp": NOW.isoformat(), "data": row()}


def test_an_order_that_is_credited_is_counted_and_left_alone() -> None:
    shop = Shop(TEN)
    shop.tell(order_webhook())
    found = scan([row()], shop=shop)
    assert (found.granted, found.missing) == (1, {})


def test_an_order_that_is_claimed_and_not_at_polar_yet_is_left_to_who_has_claimed_it() -> None:
    shop = Shop(TEN)
    shop.polar.script = [BROKEN]
    shop.tell(order_webhook())
    found = scan([row()], shop=shop)
    assert (found.granted, found.missing) == (0, {})
    assert found.unsettled == {ORDER: "msg-1"}


def test_what_is_refunded_in_full_or_not_paid_is_never_credited() -> None:
    statuses = ["refunded", "pending", "draft", "void"]
    found = scan([row(id=some_id(n), status=status) for n, status in enumerate(statuses, 1)])
    assert not found.missing
    assert skip_counts(found) == {f"now {status}": 1 for status in statuses}


def test_an_order_without_a_status_is_not_taken_for_a_paid_one() -> None:
    bare = row()
    del bare["status"]
    assert not scan([bare]).missing


def test_of_what_is_refunded_in_part_the_plan_takes_its_share_back_at_once() -> None:
    revoking = rules_of(rule("pack", {"api_usage": 100}, on_refund="revoke"))
    found = scan([row(status="partially_refunded", refunded_amount=300)], rules=revoking)
    assert found.missing[ORDER].prospect.text == "grant 100 api_usage; took back 30 api_usage"


def test_a_refund_that_was_heard_of_first_is_seen_to_as_well() -> None:
    revoking = rules_of(rule("pack", {"api_usage": 100}, on_refund="revoke"))
    shop = Shop(revoking)
    shop.tell(refund_webhook(500))
    found = scan([row()], rules=revoking, shop=shop)
    assert found.missing[ORDER].prospect.text == "grant 100 api_usage; took back 50 api_usage"


def test_what_is_not_for_credit_is_counted_by_reasons_that_orders_have_in_common() -> None:
    rules = rules_of(
        rule("big", {"api_usage": 10}, products=[PRODUCT], when="order.net_amount > 5000"),
        rule("over", {"api_usage": 10}, products=[some_id(7)], until="2020-01-01T00:00:00Z"),
        rule("none", {"api_usage": "order.net_amount - 1000"}, products=[some_id(8)]),
        credit_from="2026-01-01T00:00:00Z",
    )
    rows = [
        row(id=some_id(1), net_amount=1000),
        row(id=some_id(2), net_amount=2000),
        row(id=some_id(3), product_id=some_id(7)),
        row(id=some_id(4), product_id=some_id(8)),
        row(id=some_id(5), product_id=some_id(9)),
        row("order_paid_subscription_cancel_final_invoice"),
    ]
    found = scan(rows, rules=rules)
    assert not found.missing
    assert skip_counts(found) == {
        "the when condition of its rules is false": 2,
        "created outside the from/until window of its rules": 1,
        "its rules give 0": 1,
        f"no rule names product {some_id(9)}": 1,
        "final invoice of an ended subscription: never credited": 1,
    }


def test_what_somebody_else_credited_before_credit_from_is_never_credited() -> None:
    rules = rules_of(rule("pack", {"api_usage": 10}), credit_from="2026-11-30T00:00:00Z")
    found = scan([row()], rules=rules)
    assert skip_counts(found) == {"created before credit_from": 1}


def test_where_rules_fail_nothing_is_missing_and_the_order_is_named_with_the_reason() -> None:
    found = scan([row()], rules=rules_of(rule("pack", {"api_usage": "int(order.metadata.campaign)"})))
    assert not found.missing
    (failing,) = found.failing
    assert failing.order_id == ORDER
    assert failing.reason.startswith("rule pack, api_usage: ")


DEEP: list[Any] = []
for _ in range(300):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "broken",
    [
        {"customer_id": None},
        {"net_amount": float("nan")},
        {"billing_name": "\ud800"},
        {"metadata": {"too deep for expressions": DEEP}},
    ],
)
def test_an_order_that_cannot_be_read_is_named_and_keeps_nobody_from_theirs(broken: dict[str, Any]) -> None:
    found = scan([row(**broken), row(id=some_id(2))])
    assert [one.order_id for one in found.failing] == [ORDER]
    assert list(found.missing) == [some_id(2)]


def test_amounts_that_rest_on_todays_subscription_are_named_and_not_granted_unless_that_is_assumed() -> None:
    renewal = row("order_paid_subscription_cycle_seats_order_seats_null")
    found = scan([renewal], rules=SEATS)
    assert not found.missing
    assert [(one.order_id, one.reason) for one in found.needs_review] == [(renewal["id"], "seats")]
    assumed = scan([renewal], rules=SEATS, assume_current=True)
    assert not assumed.needs_review
    assert assumed.missing[renewal["id"]].prospect.text == "grant 5000 api_usage"


def test_what_is_credited_already_is_in_no_doubt() -> None:
    renewal = "order_paid_subscription_cycle_seats_order_seats_null"
    shop = Shop(SEATS)
    shop.tell(payload(renewal))
    found = scan([row(renewal)], rules=SEATS, shop=shop)
    assert (found.granted, list(found.needs_review)) == (1, [])


def test_a_page_that_begins_with_orders_of_the_last_one_counts_them_once() -> None:
    one, two, three = (row(id=some_id(n)) for n in (1, 2, 3))
    found = scan([one, two], [two, three])
    assert found.read == 3
    assert list(found.missing) == [some_id(1), some_id(2), some_id(3)]


def test_a_server_that_does_not_know_the_bounds_gets_nothing_beyond_them_credited() -> None:
    found = scan([row(created_at="2020-01-01T00:00:00Z"), row(created_at=NOW.isoformat())])
    assert skip_counts(found) == {"created outside the requested time": 2}


def test_a_customers_bonus_is_promised_with_one_order_only() -> None:
    found = scan([row(id=some_id(1)), row(id=some_id(2))], rules=rules_of(BONUS))
    assert [one.prospect.text for one in found.missing.values()] == ["grant 5 images"]
    assert found.granted == 1


def test_a_bonus_that_the_customer_has_is_not_missing() -> None:
    rules = rules_of(BONUS)
    shop = Shop(rules)
    shop.tell(order_webhook())
    found = scan([row(id=some_id(2))], rules=rules, shop=shop)
    assert (found.granted, found.missing) == (1, {})


def test_only_a_person_credits_an_order_whose_webhook_came() -> None:
    for past in (Past(was_skipped=True), Past(has_failed=True)):
        by_itself = scan([row()], pasts={ORDER: past}, by_itself_from=NOW - timedelta(days=60))
        assert (by_itself.left, by_itself.missing) == (1, {})
        assert scan([row()], pasts={ORDER: past}).missing[ORDER].was_skipped is past.was_skipped


def test_only_a_person_credits_an_order_from_before_a_worker_first_ran() -> None:
    created = datetime.fromisoformat(row()["created_at"])
    found = scan([row()], by_itself_from=created + timedelta(microseconds=1))
    assert (found.older, found.missing) == (1, {})
    assert list(scan([row()], by_itself_from=created).missing) == [ORDER]


def test_what_is_left_to_a_person_is_not_named_at_every_round() -> None:
    """Neither as one whose amount cannot be computed, nor as one that depends on today's values."""
    failing = rules_of(rule("pack", {"api_usage": "int(order.metadata.campaign)"}))
    seats = row("order_paid_subscription_cycle_seats_order_seats_null", id=ORDER)
    for rules, one in ((failing, row()), (SEATS, seats)):
        found = scan([one], rules=rules, pasts={ORDER: Past(was_skipped=True)}, by_itself_from=NOW)
        assert (found.left, [*found.failing, *found.needs_review]) == (1, [])


def test_what_is_dismissed_is_never_credited_not_even_by_a_person() -> None:
    dismissed = Past(was_skipped=True, was_dismissed=True)
    found = scan([row()], pasts={ORDER: dismissed})
    assert (found.dismissed, found.missing) == (1, {})


def test_an_order_that_is_left_does_not_keep_its_customers_bonus_from_the_next() -> None:
    rules = rules_of(BONUS)
    rows = [row(id=some_id(1)), row(id=some_id(2))]
    for past in (Past(was_dismissed=True), Past(was_skipped=True)):
        found = scan(rows, rules=rules, pasts={some_id(1): past}, by_itself_from=NOW - timedelta(days=60))
        assert list(found.missing) == [some_id(2)]


def test_of_orders_that_earn_nothing_nobody_says_that_they_are_left() -> None:
    found = scan([row()], rules=NOBODY, pasts={ORDER: Past(was_skipped=True)}, by_itself_from=NOW)
    assert (found.left, found.older, sum(found.skipped.values())) == (0, 0, 1)


def test_what_something_else_sees_to_is_taken_out_of_what_is_missing() -> None:
    found = scan([row(id=some_id(1)), row(id=some_id(2))])
    assert found.exclude([some_id(2), some_id(3)]) == 1
    assert list(found.missing) == [some_id(1)]


def test_after_a_rebuild_nobody_knows_what_was_dismissed_before() -> None:
    shop = Shop(TEN)
    shop.tell(order_webhook())
    assert not scan([row()], shop=shop).was_rebuilt
    (claim,) = shop.store.claims.values()
    shop.store.claims[claim.subject] = replace(claim, delivery_id=REBUILD)
    assert scan([row()], shop=shop).was_rebuilt


def test_looking_at_the_ledger_touches_nothing() -> None:
    shop = Shop(TEN)
    plans: list[Plan] = []

    def look(page: Sequence[Plan]) -> list[Standing]:
        plans.extend(page)
        return shop.look(page)

    found = OrderScan(rules=TEN, begin=NOW - timedelta(days=60), end=NOW, now=NOW)
    found.add([row()], look, lambda ids: [Past() for _ in ids])
    assert [plan.order_id for plan in plans] == [ORDER]
    assert not shop.store.claims
