"""The audit trail and the lists of customers go on over what is sealed."""

from datetime import datetime, timedelta
from typing import cast

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, fact_like, rule, rules_of, some_id
from tests.support.sealed_orders import LAST, sell, sell_mixed
from tests.support.sealing import AT_ONCE, seal
from workers.core.grants import order_subject
from workers.core.planning import plan_for
from workers.store import keys
from workers.store.audit import Audit
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.losses import LedgerWatch, lost_at
from workers.store.outbox_view import OutboxView
from workers.store.sealing import Sealer


@pytest.fixture
def mixed(ledger: Ledger) -> str:
    return sell_mixed(ledger)


@pytest.mark.parametrize("sealed_between", [True, False])
def test_a_customer_has_each_fact_once_newest_first(
    redis: Redis, ledger: Ledger, sealed_between: bool
) -> None:
    audit = Audit(redis, ledger)
    for number in range(7):
        sell(ledger, number)
        sell(ledger, 100 + number, customer_id=some_id(100))
        if sealed_between or number == 6:
            seal(redis)
    listed = [entry.grant.subject for entry in audit.of_customer(CUSTOMER)]
    assert listed == [order_subject(some_id(number)) for number in range(7)][::-1]
    assert not redis.hexists(keys.CUSTOMERS, CUSTOMER)


def test_the_audit_trail_is_listed_over_open_and_moved_entries(
    redis: Redis, ledger: Ledger, mixed: str
) -> None:
    audit = Audit(redis, ledger)
    sell(ledger, *range(1, 451), customer_id=some_id(7))
    before = list(audit.newest())
    for moved in (1, 3, 200, 1000):
        Sealer(redis, AT_ONCE).seal(moved)
        assert list(audit.newest()) == before
        assert ledger.count_grants() == len(before)


def test_the_audit_trail_since_a_moment_reaches_back_to_its_day(redis: Redis, ledger: Ledger) -> None:
    now = datetime.fromtimestamp(redis.time()[0]).astimezone()
    days = [40, 3, 2, 1]
    old = sell(ledger, *days)
    redis.delete(keys.AUDIT)
    for days_ago, grant in zip(days, old, strict=True):
        at = int((now - timedelta(days=days_ago)).timestamp() * 1000)
        redis.hset(grant.subject, f"settled:{grant.meter}", at)
        entry = {"subject": grant.subject, "meter": grant.meter}
        redis.xadd(keys.AUDIT, entry, id=f"{at}-0")  # type: ignore[arg-type]  # the stub's dict is invariant
    sell(ledger, LAST)
    seal(redis)
    assert len(list(redis.scan_iter(f"{keys.AUDIT_DAY}*"))) == 4
    audit = Audit(redis, ledger)
    for since, expected in ((0.5, 1), (1.5, 2), (2.5, 3), (30, 4), (50, 5)):
        assert len(list(audit.newest(since=now - timedelta(days=since)))) == expected


def test_an_entry_that_was_moved_is_not_lost(redis: Redis, ledger: Ledger) -> None:
    watch = LedgerWatch(redis)
    sell(ledger, 1)
    watch.check()
    sell(ledger, 2, 3)
    seal(redis)
    watch.check()
    assert lost_at(redis) is None
    ((newest, _),) = cast(list[tuple[bytes, object]], redis.xrevrange(keys.AUDIT, count=1))
    redis.xdel(keys.AUDIT, newest)
    watch.check()
    assert lost_at(redis)


def test_deliveries_and_credit_events_of_a_sealed_order_are_found(redis: Redis, ledger: Ledger) -> None:
    store = DeliveryStore(redis)
    (leased,) = store.store_and_lease([(some_id(10_001), "order.paid", b"{}")])
    (grant, _) = sell(ledger, 1, LAST)
    seal(redis)
    redis.hset(keys.delivery(leased.id), "status", "granted")
    assert [one.id for one in store.about_order(some_id(1))] == [leased.id]
    found = OutboxView(redis).find(grant.key)
    assert found
    assert (found.subject, found.rest) == (grant.subject, grant.meter)


def test_a_step_that_failed_before_its_end_files_nothing_twice(redis: Redis, ledger: Ledger) -> None:
    sell(ledger, 1, 2, LAST)
    rows = cast(list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(keys.AUDIT))
    seal(redis)
    for id_, fields in rows[:2]:
        redis.xadd("again", fields, id=id_)  # type: ignore[arg-type]  # the stub's dict is invariant
    redis.xadd("again", rows[2][1], id=rows[2][0])  # type: ignore[arg-type]
    redis.rename("again", keys.AUDIT)
    redis.hset(keys.SEALED, "audited", 0)
    assert seal(redis) == 2
    assert [redis.xlen(name) for name in redis.scan_iter(f"{keys.AUDIT_DAY}*")] == [2]
    assert len(list(Audit(redis, ledger).newest())) == ledger.count_grants() == 3


def test_the_customer_of_an_order_with_nothing_but_a_bonus_moves_too(redis: Redis, ledger: Ledger) -> None:
    rules = rules_of(rule("bonus", {"seconds": 50}, once_per="customer"))
    ledger.claim([("msg-1", plan := plan_for(fact_like(), rules))])
    ledger.settle(plan.grants, [])
    sell(ledger, LAST, customer_id=some_id(LAST))
    before = ledger.find(plan.subject)
    seal(redis)
    assert not redis.exists(plan.subject)
    assert not redis.hexists(keys.CUSTOMERS, CUSTOMER)
    assert Audit(redis, ledger).standings_of(CUSTOMER) == [before]
