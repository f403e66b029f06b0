"""Lost disputes on a real Redis and a stand-in for Polar: found, taken back once, and rebuilt."""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from redis import Redis

from config.rules import Rules, parse_rules
from tests.support.builders import CUSTOMER, PRODUCT, some_id
from tests.support.ledgers import ledger_in, rebuild, standing_of
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.reconciling import reconciler, told_by
from workers.core.delivery import Lease, Outcome, Status
from workers.core.dispute_delivery import dispute_delivery
from workers.core.grants import order_subject
from workers.operations.disputes import DisputeFinder
from workers.store import keys

RULES = f"""\
version: 1
meters: {{api_usage: {{}}}}
rules:
  - name: pack
    products: [{PRODUCT}]
    triggers: [purchase]
    grant: {{api_usage: 100}}
    on_refund: revoke
    on_dispute: revoke
"""
ONE = some_id(1)


def rules() -> Rules:
    return parse_rules(RULES, "rules.yaml")


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield operations by rules that revoke, where order 1 was sold and credited."""
    with operations_at(redis) as opened:
        opened.rules = rules()
        assert opened.deliver(sell(opened.polar, 1)) is Status.GRANTED
        yield opened


def finder_of(operations: Operations) -> DisputeFinder:
    return DisputeFinder(
        store=operations.store, ledger=operations.ledger, polar=operations.client, pacer=operations.pacer
    )


def find_and_take_back(operations: Operations) -> list[Outcome]:
    finder = finder_of(operations)
    return [one for some in finder.take_back(finder.find_new(), operations.granter) for one in some]


def lose(operations: Operations, order_id: str = ONE, **fields: object) -> str:
    """Lose a dispute at Polar; return its id."""
    return str(operations.polar.add_dispute(order_id, **{"amount": 300, "tax_amount": 57} | fields).id)


def test_a_lost_dispute_is_found_taken_back_and_then_known(operations: Operations) -> None:
    dispute = lose(operations)
    (outcome,) = find_and_take_back(operations)
    assert (outcome.delivery_id, outcome.status, outcome.reason) == (
        f"dispute-{dispute}",
        Status.GRANTED,
        "took back 30 api_usage",
    )
    assert operations.balance() == 70
    assert finder_of(operations).find_new().deliveries == []
    operations.redis.delete(keys.delivery(dispute_delivery(dispute)))  # as its retention would
    assert finder_of(operations).find_new().deliveries == []
    assert find_and_take_back(operations) == []
    assert operations.balance() == 70


def test_disputes_that_are_not_lost_take_nothing(operations: Operations) -> None:
    for status in ("prevented", "early_warning", "needs_response", "under_review", "won"):
        lose(operations, status=status)
    assert find_and_take_back(operations) == []


def test_its_delivery_is_listed_replayable_and_has_no_personal_data(operations: Operations) -> None:
    dispute = lose(operations)
    find_and_take_back(operations)
    (stored,) = (one for one in operations.store.about_order(ONE) if one.id.startswith("dispute-"))
    assert (stored.id, stored.type, stored.customer_id) == (
        f"dispute-{dispute}",
        "credits.dispute",
        CUSTOMER,
    )
    body = operations.store.body(stored.id)
    assert set(json.loads(body)["data"]["dispute"]) == {"id", "order_id", "amount", "currency", "status"}
    assert b"@" not in body
    (again,) = operations.granter.run(Lease(deliveries=operations.store.reopen([stored.id])))
    assert again.reason == "took back 30 api_usage"
    assert operations.balance() == 70


def test_it_counts_when_its_order_is_credited_later(operations: Operations) -> None:
    later = sell(operations.polar, 2)
    dispute = lose(operations, some_id(2), amount=1000)
    (outcome,) = find_and_take_back(operations)
    assert outcome.status is Status.SKIPPED
    operations.deliver(later, "msg-2")
    (due,) = operations.store.lease(100).deliveries
    (taken,) = operations.granter.run(Lease(deliveries=(due,)))
    assert (taken.delivery_id, taken.reason) == (f"take-back-{some_id(2)}", "took back 100 api_usage")
    assert operations.balance() == 100
    standing = operations.ledger.find(order_subject(some_id(2)))
    assert [one.subject for one in standing.claims] == [
        order_subject(some_id(2)),
        f"credits:dispute:{dispute}",
    ]


@pytest.mark.heavy
def test_every_page_of_disputes_is_read(operations: Operations) -> None:
    for _ in range(130):
        lose(operations, amount=5)
    assert len(find_and_take_back(operations)) == 130
    assert operations.balance() == 35  # 130 times half a per cent of 100, added up and then rounded down


def test_a_dispute_of_an_unknown_order_holds_up_no_other(operations: Operations) -> None:
    unknown, known = lose(operations), lose(operations, amount=100)
    sell(operations.polar, 2)
    other = lose(operations, some_id(2))
    del operations.polar.orders[some_id(2)]
    found = finder_of(operations).find_new()
    assert {id_ for id_, *_ in found.deliveries} == {f"dispute-{unknown}", f"dispute-{known}"}
    assert found.unreadable == [f"dispute {other} of order {some_id(2)}: Polar has no such order"]


def test_the_reconciler_finds_disputes_without_credit_from(operations: Operations, tmp_path: Path) -> None:
    lose(operations)
    sell(operations.polar, 2)  # whose webhook never came; without credit_from a person must decide
    (line,) = told_by(reconciler(operations, tmp_path, RULES))
    assert line == {"event": "lost disputes found", "log_level": "info", "disputes": 1, "took_back": 1}
    assert operations.balance() == 70


def test_the_reconciler_leaves_disputes_alone_where_no_rule_needs_them(
    operations: Operations, tmp_path: Path
) -> None:
    lose(operations)
    operations.polar.scopes -= {"disputes:read"}
    kept = RULES.replace("on_dispute: revoke", "on_dispute: keep")
    assert told_by(reconciler(operations, tmp_path, f"credit_from: 2026-01-01T00:00:00Z\n{kept}")) == []


def test_where_rules_give_instalments_disputes_are_noted_and_their_scope_is_no_must(
    operations: Operations, tmp_path: Path
) -> None:
    dispute = lose(operations)
    paid = RULES.replace("[purchase]", "[subscription_cycle]")
    monthly = paid.replace("on_dispute: revoke", "every: month")
    operations.polar.scopes -= {"disputes:read"}
    (line,) = told_by(reconciler(operations, tmp_path, monthly, every=timedelta(hours=1)))
    assert line["event"] == "lost disputes not looked for: they end no instalments"
    order = order_subject(ONE)
    assert not standing_of(operations, order).disputes
    operations.polar.scopes |= {"disputes:read"}
    operations.redis.delete(keys.RECONCILED)
    told_by(reconciler(operations, tmp_path, monthly))
    assert [one.id for one in standing_of(operations, order).disputes] == [dispute]


def test_what_was_frozen_to_be_disputable_stays_so_when_the_rules_change(
    operations: Operations, tmp_path: Path
) -> None:
    told_by(reconciler(operations, tmp_path, RULES))
    lose(operations)
    operations.redis.delete(keys.RECONCILED)
    told_by(reconciler(operations, tmp_path, RULES.replace("on_dispute: revoke", "on_dispute: keep")))
    assert operations.balance() == 70


def test_a_dispute_in_another_currency_needs_review(operations: Operations, tmp_path: Path) -> None:
    dispute = lose(operations, currency="eur")
    (line,) = told_by(reconciler(operations, tmp_path, RULES))
    assert (line["log_level"], line["disputes"]) == ("warning", 1)
    (review,) = line["needs_review"]
    assert review.startswith(f"dispute-{dispute}: needs review: the dispute is about 300 cents in eur")
    (failed,) = operations.store.newest([Status.FAILED])
    assert failed.id == f"dispute-{dispute}"
    assert operations.balance() == 100


def test_a_missing_scope_is_named(operations: Operations, tmp_path: Path) -> None:
    operations.polar.scopes -= {"disputes:read"}
    (line,) = told_by(reconciler(operations, tmp_path, RULES, every=timedelta(hours=1)))
    assert (line["event"], line["log_level"]) == ("reconciliation interrupted", "warning")
    assert "give the token the scope disputes:read" in str(line["reason"])


def test_a_lost_ledger_is_rebuilt_with_what_disputes_took(operations: Operations, redis: Redis) -> None:
    dispute = lose(operations)
    find_and_take_back(operations)
    before = ledger_in(redis)
    redis.flushall()
    rebuild(operations)
    assert ledger_in(redis) == before
    standing = operations.ledger.find(order_subject(ONE))
    assert standing.taken == {"api_usage": {"pack": 30}}
    (again,) = find_and_take_back(operations)
    assert (again.delivery_id, again.status) == (f"dispute-{dispute}", Status.SKIPPED)
    assert operations.balance() == 70


def test_a_refund_after_a_rebuilt_dispute_takes_no_more_than_is_left(
    operations: Operations, redis: Redis
) -> None:
    lose(operations)
    find_and_take_back(operations)
    redis.flushall()
    rebuild(operations)
    refund = json.loads(sell(operations.polar, 1, refunded_amount=1000, status="refunded"))
    refund["type"] = "order.refunded"
    operations.deliver(json.dumps(refund).encode(), "msg-refund")
    find_and_take_back(operations)
    assert operations.balance() == 0
    taken = operations.ledger.find(order_subject(ONE)).taken
    assert taken == {"api_usage": {"pack": Decimal(100)}}


def test_a_dispute_after_a_rebuilt_refund_takes_all_that_is_left(
    operations: Operations, redis: Redis
) -> None:
    """Polar's events do not say how much was refunded, but the disputed order does."""
    refund = json.loads(sell(operations.polar, 1, refunded_amount=300, status="partially_refunded"))
    refund["type"] = "order.refunded"
    operations.deliver(json.dumps(refund).encode(), "msg-refund")
    redis.flushall()
    rebuild(operations)
    lose(operations, amount=700)
    find_and_take_back(operations)
    operations.deliver(json.dumps(refund).encode(), "msg-refund")
    assert operations.balance() == 0
