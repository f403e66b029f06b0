"""Sealed facts in their buckets: read as they were, whatever they hold and however many there are."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import fact_like, grant_of, some_id
from tests.support.real_stores import plan_of
from tests.support.sealed_orders import LAST, MIXED, sell
from tests.support.sealing import seal, sealed_subjects
from workers.core.grants import order_subject
from workers.core.planning import plan_for
from workers.store import keys
from workers.store.ledger import Ledger
from workers.store.scripts import with_needed

READ = "local found = {} for i, one in ipairs(ARGV) do found[i] = on_fact('HGETALL', one) end return found"
WRITE = "for _, one in ipairs(ARGV) do on_fact('HSET', one, 'new', '1') end"


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
