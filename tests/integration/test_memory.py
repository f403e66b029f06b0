"""What an order costs Redis: small values in small hashes, a packed body, no list that nobody needs.

The same at a hundred thousand orders, with all that Redis adds: ``python -m bench footprint``.
"""

import json
from collections.abc import Iterator
from typing import cast
from uuid import uuid4

import pytest
from msgspec.structs import replace
from redis import Redis

from config.rules import Rules
from tests.support.builders import order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.fake_polar import FakePolar
from tests.support.real_stores import RETAIN, accept, outcome
from tests.support.recordings import payload
from tests.support.sealing import seal, sealed_subjects
from workers.core.delivery import Status
from workers.core.envelope import ORDER_PAID
from workers.core.grants import order_subject
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle
from workers.timings import DEFAULT_TIMINGS

RENEWAL = payload("order_paid_subscription_cycle").decode()  # byte for byte: spaces would cost
ORDER, CUSTOMER = (json.loads(RENEWAL)["data"][name] for name in ("id", "customer_id"))
COUNT = 50
ONE = rules_of(rule("team-plan-monthly", {"api_usage": 1000}))
TWO = rules_of(rule("team-plan-monthly", {"api_usage": 1000, "images": 100}))
NONE = rules_of(rule("team-plan-monthly", {"api_usage": 1000}, triggers=["purchase"]))


def sell(redis: Redis, url: str, rules: Rules, *, customers: int = COUNT) -> DeliveryStore:
    """Accept renewals, and settle them."""
    for number in range(COUNT):
        body = RENEWAL.replace(ORDER, some_id(number)).replace(CUSTOMER, some_id(number % customers))
        accept(url, some_id(10_000 + number), body=body.encode())
    store = DeliveryStore(redis)
    run(redis, store, rules)
    return store


def run(redis: Redis, store: DeliveryStore, rules: Rules) -> None:
    ledger = Ledger(redis, retain=RETAIN)
    granter = Granter(
        deliveries=store, ledger=ledger, throttle=Throttle(redis), polar=FakePolar(), rules=lambda: rules
    )
    granter.run(store.lease(DEFAULT_TIMINGS.deliveries_per_lease))


def bytes_each(redis: Redis, *forms: str) -> float:
    """Return the memory that all keys of these forms take, for each order."""
    names = [name for form in forms for name in redis.scan_iter(form)]
    return sum(int(redis.memory_usage(name, samples=0) or 0) for name in names) / COUNT


def ledger_bytes(redis: Redis) -> float:
    return bytes_each(redis, "credits:order:*", keys.CUSTOMERS, keys.AUDIT)


@pytest.mark.parametrize("customers", [COUNT, 1])
@pytest.mark.parametrize(("rules", "grants"), [(ONE, 1), (TWO, 2)], ids=["one meter", "two meters"])
def test_a_settled_grant_costs_less_than_500_bytes(
    redis: Redis, redis_url: str, *, rules: Rules, grants: int, customers: int
) -> None:
    sell(redis, redis_url, rules, customers=customers)
    assert redis.xlen(keys.AUDIT) == COUNT * grants
    assert ledger_bytes(redis) / grants < 500


@pytest.mark.parametrize("customers", [COUNT, 1])
@pytest.mark.parametrize(("rules", "grants"), [(ONE, 1), (TWO, 2)], ids=["one meter", "two meters"])
def test_a_sealed_grant_costs_less_than_250_bytes(
    redis: Redis, redis_url: str, *, rules: Rules, grants: int, customers: int
) -> None:
    sell(redis, redis_url, rules, customers=customers)
    redis.xadd(keys.AUDIT, {"subject": "credits:order:last", "meter": "api_usage"})
    seal(redis)
    assert len(sealed_subjects(redis)) == COUNT
    sealed = (f"{keys.FACTS}*", f"{keys.NEWEST}*", f"{keys.AUDIT_DAY}*")
    assert bytes_each(redis, *sealed) / grants < 250  # a hundred thousand take less


def test_a_kept_delivery_costs_less_than_a_third_of_its_body(redis: Redis, redis_url: str) -> None:
    sell(redis, redis_url, ONE)
    forms = (f"{keys.DELIVERY}*", f"{keys.BODY}*", f"{keys.DELIVERIES}*", f"{keys.ABOUT}*")
    assert bytes_each(redis, *forms) < len(RENEWAL) / 3


def hashes(redis: Redis) -> Iterator[bytes]:
    for form in ("credits:order:*", "credits:customer:*", "credits:refund:*", f"{keys.DELIVERY}*"):
        yield from redis.scan_iter(form)


def test_every_hash_of_an_order_is_a_small_one(redis: Redis, redis_url: str) -> None:
    """A single value of more than 64 bytes would make it several times as large."""
    rules = rules_of(
        rule("starter-pack-of-2026", {"api_usage": 1000, "images": "0.25"}, on_refund="revoke"),
        rule("thank-you-for-coming-back", {"api_usage": 50}),
        rule("first-order-bonus-of-the-year", {"seconds": 50}, once_per="customer"),
    )
    store = DeliveryStore(redis)
    webhooks = [
        order_webhook(id=some_id(1)),
        *(refund_webhook(cents, id=some_id(1)) for cents in (300, 1000)),
    ]
    for number, body in enumerate(webhooks):
        accept(redis_url, some_id(10_000 + number), body=body)
        run(redis, store, rules)
    assert {one.status for one in store.newest()} == {Status.GRANTED}
    found = {name: redis.object("encoding", name.decode()) for name in hashes(redis)}
    assert len(found) == 1 + 1 + 2 + len(webhooks)
    assert set(found.values()) == {b"listpack"}


def test_a_long_reason_leaves_its_delivery_small(redis: Redis, redis_url: str) -> None:
    store = sell(redis, redis_url, NONE)
    assert len(next(store.newest()).reason) > 64
    assert {redis.object("encoding", name.decode()) for name in hashes(redis)} == {b"listpack"}


def test_a_skipped_delivery_leaves_nothing_in_the_ledger(redis: Redis, redis_url: str) -> None:
    sell(redis, redis_url, NONE)
    assert ledger_bytes(redis) == 0
    assert not list(cast(Iterator[bytes], redis.scan_iter("credits:order:*")))


def test_what_is_remembered_of_a_skipped_order_costs_two_dozen_bytes(
    redis: Redis, store: DeliveryStore, ledger: Ledger
) -> None:
    count = 400
    ids = [f"abc{uuid4()}"[:8] + f"{uuid4()}"[8:] for _ in range(count)]
    webhooks = [(f"msg-{number}", ORDER_PAID, order_webhook(id=id_)) for number, id_ in enumerate(ids)]
    leased = store.store_and_lease(webhooks)
    settled = [
        replace(outcome(one, Status.SKIPPED), subject=order_subject(id_), order_id=id_)
        for one, id_ in zip(leased, ids, strict=True)
    ]
    ledger.settle([], settled)
    assert ledger.told(ids) == set(ids)
    (remembered,) = redis.scan_iter(f"{keys.TOLD}*")
    assert int(redis.memory_usage(remembered, samples=0) or 0) / count < 24
