"""Settled facts are sealed into buckets: read as they were, and opened by whoever writes."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from redis import ConnectionPool, Redis

from tests.support.builders import CUSTOMER, fact_like, grant_of, refund_webhook, rule, rules_of, some_id
from tests.support.real_stores import plan_of
from tests.support.reversals import refund_take_back
from tests.support.sealing import AT_ONCE, seal, sealed_subjects
from workers.core.delivery_plans import refund_plan
from workers.core.grants import Grant, order_subject
from workers.core.planning import plan_for
from workers.store import keys
from workers.store.audit import Audit
from workers.store.deliveries import DeliveryStore
from workers.store.facts import read_fields
from workers.store.format import FORMAT
from workers.store.ledger import Ledger
from workers.store.losses import LedgerWatch, lost_at
from workers.store.outbox_view import OutboxView
from workers.store.scripts import with_needed
from workers.store.sealing import Sealer

LAST = 999
"""The number of an order that is settled last: the newest entry of the audit trail is never moved."""

MIXED = rules_of(
    rule("pack-of-2026", {"api_usage": "0.7", "images": 9}, on_refund="revoke"),
    rule("gift", {"api_usage": 1_000_000}),
    rule("bonus", {"seconds": 50}, once_per="customer"),
)
READ = "local found = {} for i, one in ipairs(ARGV) do found[i] = on_fact('HGETALL', one) end return found"
WRITE = "for _, one in ipairs(ARGV) do on_fact('HSET', one, 'new', '1') end"


def sell(ledger: Ledger, *numbers: int, customer_id: str = CUSTOMER) -> list[Grant]:
    """Claim and settle orders with these numbers, one credit each."""
    grants = [grant_of(number, 1, customer_id=customer_id) for number in numbers]
    ledger.claim(
        [(some_id(10_000 + number), plan_of(one)) for number, one in zip(numbers, grants, strict=True)]
    )
    ledger.settle(grants, [])
    return grants


def run(redis: Redis, script: str, subjects: Sequence[str]) -> list[list[bytes]]:
    """Run a script of the test behind the functions that read and write facts."""
    script = with_needed("-- needs: facts\n" + script)
    return cast(list[list[bytes]], redis.register_script(script)(args=list(subjects)))


def read(redis: Redis, subjects: Sequence[str]) -> list[dict[bytes, bytes]]:
    """Return the fields of facts as scripts see them."""
    return [dict(zip(one[::2], one[1::2], strict=True)) for one in run(redis, READ, subjects)]


def bucket_keys(redis: Redis) -> Iterator[bytes]:
    yield from redis.scan_iter(f"{keys.FACTS}*")
    yield from redis.scan_iter(f"{keys.NEWEST}*")


@pytest.fixture
def mixed(ledger: Ledger) -> str:
    """Return the subject of a settled order with several meters, rules and a bonus."""
    plan = plan_for(fact_like(), MIXED)
    ledger.claim([("msg-1", plan)])
    ledger.settle(plan.grants, [])
    sell(ledger, LAST, customer_id=some_id(LAST))
    return plan.subject


def test_a_sealed_order_is_read_as_it_was(redis: Redis, ledger: Ledger, mixed: str) -> None:
    before = ledger.find(mixed)
    assert seal(redis) == len(list(before.claims[0].grants)) + 1
    assert mixed in sealed_subjects(redis)
    assert not redis.exists(mixed)
    assert ledger.find(mixed) == before
    assert read_fields(redis, [(mixed, "delivery"), (mixed, "nothing")]) == [b"msg-1", None]


def test_whoever_claims_a_sealed_order_again_finds_its_claim(
    redis: Redis, ledger: Ledger, mixed: str
) -> None:
    before = ledger.find(mixed)
    seal(redis)
    (again,) = ledger.claim([("msg-2", plan_for(fact_like(), MIXED))])
    assert again == before
    ledger.settle([grant for claim in again.claims for grant in claim.grants], [])
    assert ledger.find(mixed) == before
    assert ledger.count_grants() == 4
    assert mixed in sealed_subjects(redis)


def test_a_refund_opens_a_sealed_order_and_both_are_sealed_when_it_is_settled(
    redis: Redis, ledger: Ledger, mixed: str
) -> None:
    seal(redis)
    (standing,) = ledger.claim([("msg-2", refund_plan(refund_webhook(500)))])
    assert redis.exists(mixed)
    assert mixed not in sealed_subjects(redis)
    take_back = refund_take_back(standing, "msg-2")
    assert take_back
    ledger.take_back([take_back])
    ledger.settle(take_back.grants, [])
    sell(ledger, LAST - 1)
    before = ledger.find(mixed)
    assert before.refund
    seal(redis)
    assert {mixed, take_back.grants[0].subject} <= set(sealed_subjects(redis))
    assert ledger.find(mixed) == before


def test_what_is_not_settled_or_in_doubt_stays_open(redis: Redis, ledger: Ledger) -> None:
    pending, doubtful = plan_for(fact_like(id=some_id(1)), MIXED), plan_of(grant_of(2, 1))
    ledger.claim([("msg-1", pending), ("msg-2", doubtful)])
    ledger.settle(pending.grants[:1], [])
    ledger.settle(doubtful.grants, [], unconfirmed={doubtful.grants[0].key})
    sell(ledger, LAST)
    seal(redis)
    assert redis.exists(pending.subject, doubtful.subject) == 2
    ledger.settle(pending.grants[1:], [])
    sell(ledger, LAST - 1)
    seal(redis)
    assert pending.subject in sealed_subjects(redis)


def test_the_newest_entry_and_what_is_young_stays(redis: Redis, ledger: Ledger) -> None:
    sell(ledger, 1, 2, 3)
    redis.set(keys.FORMAT, FORMAT)
    assert Sealer(redis, replace(AT_ONCE, seal_after_seconds=60)).seal(10) == 0
    assert seal(redis) == 2
    assert redis.xlen(keys.AUDIT) == 1


def test_nothing_is_sealed_on_a_ledger_of_another_format_or_just_after_the_start(
    redis: Redis, ledger: Ledger
) -> None:
    sell(ledger, 1, 2)
    seconds = [0.0]
    sealer = Sealer(redis, replace(AT_ONCE, seal_first_seconds=60), lambda: seconds[0])
    for noted in (None, 1, FORMAT + 1):
        redis.delete(keys.FORMAT) if noted is None else redis.set(keys.FORMAT, noted)
        assert sealer.seal(10) == 0
    redis.set(keys.FORMAT, FORMAT)
    sealer.run_if_due()
    assert not sealed_subjects(redis)
    seconds[0] = 61
    sealer.run_if_due()
    assert sealed_subjects(redis) == [order_subject(some_id(1))]


@pytest.mark.parametrize("count", [1, 47, 48, 49, 50, 1500])
def test_a_table_grows_bucket_by_bucket_and_loses_nothing(redis: Redis, ledger: Ledger, count: int) -> None:
    for begin in range(0, count, 100):
        numbers = range(begin, min(begin + 100, count))
        grants = [grant_of(number, 1, customer_id=some_id(20_000 + number)) for number in numbers]
        ledger.claim([(f"msg-{number}", plan_of(one)) for number, one in zip(numbers, grants, strict=True)])
        ledger.settle(grants, [])
    sell(ledger, 9999)
    subjects = [order_subject(some_id(number)) for number in range(count)]
    before = ledger.find_many(subjects)
    assert seal(redis) == count
    assert sealed_subjects(redis) == sorted(subjects)
    assert ledger.find_many(subjects) == before
    sizes = [redis.hlen(name) for name in bucket_keys(redis)]
    assert len(sizes) >= 2 * (count // 48)
    assert max(sizes) <= 150
    assert {redis.object("encoding", name.decode()) for name in bucket_keys(redis)} == {b"listpack"}
    noted = cast(dict[bytes, bytes], redis.hgetall(keys.SEALED))
    assert int(noted[b"credits:facts:entries"]) == count


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


def test_a_shop_whose_amounts_all_differ_needs_one_template(redis: Redis, ledger: Ledger) -> None:
    grants = [
        replace(one, parts=tuple(replace(part, units=Decimal(number) / 7) for part in one.parts))
        for number in range(1, 100)
        for one in [grant_of(number, 1)]
    ]
    ledger.claim([(some_id(number), plan_of(one)) for number, one in enumerate(grants)])
    ledger.settle(grants, [])
    before = ledger.find_many([one.subject for one in grants])
    seal(redis)
    assert ledger.find_many([one.subject for one in grants]) == before
    assert redis.hlen(keys.TEMPLATES) == 2 * 2  # with a fact before, and without; each in both directions


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


def test_a_fact_that_somebody_has_damaged_keeps_no_other_from_its_turn(redis: Redis, ledger: Ledger) -> None:
    sell(ledger, 1, 2, 3, LAST)
    damaged, *others = (order_subject(some_id(number)) for number in (1, 2, 3))
    redis.delete(damaged)
    redis.set(damaged, "nonsense")
    assert seal(redis) == 3
    assert sealed_subjects(redis) == sorted(others)
    assert redis.get(damaged) == b"nonsense"


def test_with_too_many_templates_only_facts_that_need_a_new_one_stay_open(
    redis: Redis, ledger: Ledger
) -> None:
    sell(ledger, 1, 2, customer_id=some_id(1))
    seal(redis)
    redis.hset(keys.SEALED, "templates", 10_000)
    sell(ledger, 3, customer_id=some_id(3))
    ledger.claim([("msg-1", new := plan_for(fact_like(), MIXED))])
    ledger.settle(new.grants, [])
    sell(ledger, LAST)
    seal(redis)
    assert order_subject(some_id(3)) in sealed_subjects(redis)
    assert redis.exists(new.subject)
    assert redis.hlen(keys.TEMPLATES) == 2 * 1


def test_sealing_touches_no_key_that_is_not_ours(redis: Redis, ledger: Ledger, mixed: str) -> None:
    redis.set(keys.FORMAT, FORMAT)
    redis.acl_setuser("sealer", enabled=True, reset=True, nopass=True, keys=["credits:*"], commands=["+@all"])
    options = {**redis.connection_pool.connection_kwargs, "username": "sealer", "password": "any"}
    try:
        pool = ConnectionPool(connection_class=redis.connection_pool.connection_class, **options)
        with Redis.from_pool(pool) as restricted:
            assert Sealer(restricted, AT_ONCE).seal(10) == 3
    finally:
        redis.acl_deluser("sealer")
    assert not redis.exists(mixed)
    assert not redis.hexists(keys.CUSTOMERS, CUSTOMER)


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


texts = st.one_of(
    st.text(max_size=100),
    st.sampled_from(["", "0", "007", "1" * 20, "12", some_id(3), some_id(3).upper(), "order:" + some_id(3)]),
    st.integers(-(10**6), 2 * 10**12).map(str),
    st.lists(
        st.tuples(st.sampled_from(["pack", "pack-2=", "a#b"]), st.decimals(-9, 99, places=3)), min_size=1
    ).map(lambda parts: " ".join(f"{name}={units}:revoke" for name, units in parts)),
)
meters = st.sampled_from(["api_usage", "with space", "a:b", "tab\t", "line\n", "ü", "grant:x"])
subjects = st.one_of(
    st.uuids().map(lambda one: f"credits:order:{one}"),
    st.uuids().map(lambda one: f"credits:cycle:{one}:1795937568"),
    st.uuids().map(lambda one: f"credits:order:{str(one).upper()}"),
    st.tuples(st.text(max_size=70), st.uuids()).map(lambda one: f"credits:manual:{one[0]}:{one[1]}"),
)


@st.composite
def facts(draw: st.DrawFn) -> dict[str, str]:
    """Return the fields of a fact, usual ones and strange ones."""
    fields = {"delivery": draw(texts), "customer": draw(texts), "claimed_at": draw(texts)}
    for meter in draw(st.lists(meters, unique=True, min_size=1, max_size=3)):
        fields |= {f"grant:{meter}": draw(texts), f"settled:{meter}": draw(texts)}
    return fields | draw(
        st.dictionaries(
            st.sampled_from(["before", "also", "order", "reason", "taken:x", "place", "property:x"]), texts
        )
    )


@pytest.mark.property
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(stored=st.dictionaries(subjects, facts(), min_size=1, max_size=12))
def test_whatever_a_fact_holds_it_is_read_as_it_was_and_opened_as_it_was(
    redis: Redis, stored: dict[str, dict[Any, Any]]
) -> None:
    pipeline = redis.pipeline()
    pipeline.flushall()
    for subject, fields in stored.items():
        pipeline.hset(subject, mapping=fields)
    for subject in (*stored, "credits:order:last"):
        pipeline.xadd(keys.AUDIT, {"subject": subject, "meter": "api_usage"})
    pipeline.execute()
    before = read(redis, list(stored))
    seal(redis)
    assert read(redis, list(stored)) == before
    run(redis, WRITE, list(stored))
    opened = [cast(dict[bytes, bytes], redis.hgetall(subject)) for subject in stored]
    assert opened == [one | {b"new": b"1"} for one in before]
    assert all(not redis.hlen(name) for name in redis.scan_iter(f"{keys.FACTS}*"))
