"""The ledger read as a list of grants: the newest, one order's, one customer's."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import (
    CUSTOMER,
    ORDER,
    fact_like,
    grant_of,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.real_stores import plan_of
from tests.support.reversals import refund_take_back
from workers.core.claims import Entry
from workers.core.delivery_plans import refund_plan
from workers.core.grants import Grant, order_subject
from workers.core.planning import plan_for
from workers.store import keys
from workers.store.audit import Audit
from workers.store.ledger import Ledger

PACK = rule("pack", {"api_usage": 10, "images": "0.5"}, on_refund="revoke")
BONUS = rule("bonus", {"seconds": 50}, once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25}, triggers=["customer.created"])
ALL = rules_of(PACK, BONUS, WELCOME)
ANOTHER = some_id(99)


@pytest.fixture
def audit(redis: Redis, ledger: Ledger) -> Audit:
    return Audit(redis, ledger)


def sell(ledger: Ledger, *numbers: int, customer_id: str = CUSTOMER) -> list[Grant]:
    """Claim and settle orders with these numbers, one credit each."""
    grants = [grant_of(number, 1, customer_id=customer_id) for number in numbers]
    ledger.claim([(f"msg-{number}", plan_of(one)) for number, one in zip(numbers, grants, strict=True)])
    ledger.settle(grants, [])
    return grants


def keys_of(entries: list[Entry]) -> list[str]:
    return [entry.grant.key for entry in entries]


def test_an_entry_has_every_detail_of_a_grant(ledger: Ledger, audit: Audit) -> None:
    plan = plan_for(fact_like(), rules_of(PACK))
    ledger.claim([("msg-1", plan)])
    ledger.settle([grant for grant in plan.grants if grant.meter == "images"], [])
    claimed, granted = sorted(audit.of_order(ORDER), key=lambda one: one.status)
    assert (granted.grant.key, granted.grant.customer_id) == (f"credits:order:{ORDER}:images", CUSTOMER)
    assert (granted.grant.units, granted.grant.rules) == (Decimal("0.5"), ("pack",))
    assert (granted.grant.order_id, granted.delivery_id, granted.status) == (ORDER, "msg-1", "granted")
    assert granted.granted_at is not None
    assert datetime.now(UTC) - granted.granted_at < timedelta(minutes=10)
    assert (claimed.grant.meter, claimed.status, claimed.granted_at) == ("api_usage", "claimed", None)


def test_newest_yields_settled_grants_newest_first_over_several_pages(ledger: Ledger, audit: Audit) -> None:
    first = sell(ledger, *range(1, 301))
    second = sell(ledger, *range(301, 451), customer_id=ANOTHER)
    ledger.claim([("msg-0", plan_of(grant_of(999)))])  # and not settled
    assert keys_of(list(audit.newest())) == [one.key for one in (*first, *second)][::-1]


def test_newest_since_a_moment_leaves_out_earlier_grants(redis: Redis, ledger: Ledger, audit: Audit) -> None:
    (old, new) = sell(ledger, 1, 2)
    now = datetime.now(UTC)
    redis.delete(keys.AUDIT)
    for grant, moment in ((old, now - timedelta(hours=2)), (new, now - timedelta(hours=1))):
        entry = {"subject": grant.subject, "meter": grant.meter}
        redis.xadd(keys.AUDIT, entry, id=f"{int(moment.timestamp() * 1000)}-0")  # type: ignore[arg-type]  # the stub's dict is invariant
    assert keys_of(list(audit.newest(since=now - timedelta(minutes=90)))) == [new.key]
    assert keys_of(list(audit.newest(since=now - timedelta(hours=3)))) == [new.key, old.key]
    assert list(audit.newest(since=now)) == []


def test_a_restored_grant_behind_newer_ones_keeps_its_own_time(
    redis: Redis, ledger: Ledger, audit: Audit
) -> None:
    (old, new) = sell(ledger, 1, 2)
    now = datetime.now(UTC)
    redis.hset(old.subject, f"settled:{old.meter}", int((now - timedelta(hours=2)).timestamp() * 1000))
    assert keys_of(list(audit.newest(since=now - timedelta(hours=1)))) == [new.key]


def test_an_order_has_its_bonus_and_its_take_backs(ledger: Ledger, audit: Audit) -> None:
    plan = plan_for(fact_like(), ALL)
    ledger.claim([("paid", plan)])
    ledger.settle(plan.grants, [])
    refund(ledger, "refunded")
    told = [(one.grant.meter, one.grant.units, one.delivery_id) for one in audit.of_order(ORDER)]
    assert sorted(told) == [
        ("api_usage", -10, "refunded"),
        ("api_usage", 10, "paid"),
        ("images", Decimal("-0.5"), "refunded"),
        ("images", Decimal("0.5"), "paid"),
        ("seconds", 50, "paid"),
    ]


def refund(ledger: Ledger, delivery_id: str, *, amount: int = 1000, order_id: str = ORDER) -> None:
    """Take an order's credits back, also at Polar."""
    (standing,) = ledger.claim([(delivery_id, refund_plan(refund_webhook(amount, id=order_id)))])
    taken = refund_take_back(standing, delivery_id)
    assert taken is not None
    ledger.take_back([taken])
    ledger.settle(taken.grants, [])


def test_a_take_back_of_today_from_an_old_order_comes_first(ledger: Ledger, audit: Audit) -> None:
    for number in (1, 2, 3):
        plan = plan_for(fact_like(id=some_id(number)), rules_of(PACK))
        ledger.claim([(f"paid-{number}", plan)])
        ledger.settle(plan.grants, [])
    refund(ledger, "half", amount=500, order_id=some_id(1))
    refund(ledger, "whole", order_id=some_id(1))
    told = list(dict.fromkeys(one.delivery_id for one in audit.of_customer(CUSTOMER)))
    assert told == ["whole", "half", "paid-3", "paid-2", "paid-1"]
    told = list(dict.fromkeys(one.delivery_id for one in audit.of_order(some_id(1))))
    assert told == ["whole", "half", "paid-1"]


def test_the_newest_facts_of_a_customer_are_read_without_the_older_ones(ledger: Ledger, audit: Audit) -> None:
    sold = sell(ledger, *range(300))
    assert audit.newest_of_customer(CUSTOMER, 300) == (audit.of_customer(CUSTOMER), False)
    found, has_older = audit.newest_of_customer(CUSTOMER, 250)
    assert has_older
    assert keys_of(found) == [one.key for one in sold][:49:-1]


def test_grants_of_one_request_are_in_the_order_of_their_claims(ledger: Ledger, audit: Audit) -> None:
    plans = [plan_for(fact_like(id=some_id(number)), rules_of(PACK)) for number in (1, 2)]
    for number, plan in enumerate(plans, 1):
        ledger.claim([(f"paid-{number}", plan)])
    ledger.settle([grant for plan in plans for grant in plan.grants], [])
    told = [one.delivery_id for one in audit.of_customer(CUSTOMER)]
    assert told == ["paid-2", "paid-2", "paid-1", "paid-1"]


def test_an_unknown_order_has_no_entries(audit: Audit) -> None:
    assert audit.of_order(some_id(1)) == []


def test_a_customer_has_exactly_their_own_grants(ledger: Ledger, audit: Audit) -> None:
    plans = [
        plan_for(fact_like("customer_created", id=CUSTOMER), ALL),
        plan_for(fact_like(), ALL),
        plan_for(fact_like(id=some_id(1)), ALL),
    ]
    for number, plan in enumerate(plans):
        ledger.claim([(f"msg-{number}", plan)])
        sell(ledger, 50 + number, customer_id=ANOTHER)
    entries = list(audit.of_customer(CUSTOMER))
    planned = {grant.key for plan in plans for grant in plan.grants}
    assert sorted(keys_of(entries)) == sorted(planned)
    assert [one.delivery_id for one in entries] == ["msg-2"] * 2 + ["msg-1"] * 3 + ["msg-0"]
    assert len(list(audit.of_customer(ANOTHER))) == 3


@pytest.mark.parametrize("count", [1, 199, 200, 201, 450])
def test_a_customer_of_many_orders_has_each_once_newest_first(
    ledger: Ledger, audit: Audit, count: int
) -> None:
    sold = sell(ledger, *range(count))
    assert keys_of(list(audit.of_customer(CUSTOMER))) == [one.key for one in sold][::-1]


def test_a_customer_without_grants_has_no_entries(ledger: Ledger, audit: Audit) -> None:
    sell(ledger, 1)
    assert list(audit.of_customer(ANOTHER)) == []


def test_an_order_that_is_claimed_again_is_listed_once(redis: Redis, ledger: Ledger, audit: Audit) -> None:
    for number in (1, 2, 1, 2):
        ledger.claim([(f"msg-{number}", plan_of(grant_of(number)))])
    assert len(list(audit.of_customer(CUSTOMER))) == 2
    assert cast(bytes, redis.hget(keys.CUSTOMERS, CUSTOMER)).decode() == f"order:{some_id(2)}"
    assert cast(bytes, redis.hget(order_subject(some_id(2)), "before")).decode() == f"order:{some_id(1)}"
    assert redis.hexists(order_subject(some_id(1)), "before") is False


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_reading_an_edited_ledger_with_a_loop_ends(
    redis: Redis, ledger: Ledger, audit: Audit, gone: int
) -> None:
    """A fact that was removed and claimed again names one that names it: a loop."""
    sell(ledger, 1, 2, 3)
    redis.delete(order_subject(some_id(gone)))
    assert len(list(audit.of_customer(CUSTOMER))) < 3
    sell(ledger, gone)
    assert order_subject(some_id(gone)) in {one.grant.subject for one in audit.of_customer(CUSTOMER)}


def test_an_audit_entry_without_its_claim_is_left_out(redis: Redis, ledger: Ledger, audit: Audit) -> None:
    lost, kept = sell(ledger, 1, 2)
    redis.delete(lost.subject)
    assert keys_of(list(audit.newest())) == [kept.key]


def test_reading_changes_nothing(redis: Redis, ledger: Ledger, audit: Audit) -> None:
    sell(ledger, 1, 2)
    before = {name: redis.dump(name) for name in cast(list[bytes], redis.keys())}
    assert list(audit.newest())
    assert list(audit.of_customer(CUSTOMER))
    assert audit.of_order(some_id(1)) == list(audit.of_customer(CUSTOMER))[-1:]
    assert {name: redis.dump(name) for name in cast(list[bytes], redis.keys())} == before
    assert replace(grant_of(1), parts=grant_of(1, 1).parts) == audit.of_order(some_id(1))[0].grant
