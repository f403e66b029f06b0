"""Settled facts are sealed: which, when, and who opens them again."""

import pytest
from msgspec.structs import replace
from redis import ConnectionPool, Redis

from tests.support.builders import CUSTOMER, fact_like, grant_of, refund_webhook, some_id
from tests.support.real_stores import plan_of
from tests.support.reversals import refund_take_back
from tests.support.sealed_orders import LAST, MIXED, sell, sell_mixed
from tests.support.sealing import AT_ONCE, seal, sealed_subjects
from workers.core.delivery_plans import refund_plan
from workers.core.grants import order_subject
from workers.core.planning import plan_for
from workers.store import keys
from workers.store.facts import read_fields
from workers.store.format import FORMAT
from workers.store.ledger import Ledger
from workers.store.sealing import Sealer


@pytest.fixture
def mixed(ledger: Ledger) -> str:
    return sell_mixed(ledger)


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


def test_a_fact_that_somebody_has_damaged_keeps_no_other_from_its_turn(redis: Redis, ledger: Ledger) -> None:
    sell(ledger, 1, 2, 3, LAST)
    damaged, *others = (order_subject(some_id(number)) for number in (1, 2, 3))
    redis.delete(damaged)
    redis.set(damaged, "nonsense")
    assert seal(redis) == 3
    assert sealed_subjects(redis) == sorted(others)
    assert redis.get(damaged) == b"nonsense"


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
