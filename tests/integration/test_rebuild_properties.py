"""Whatever was granted and taken back, a lost ledger is read back from Polar as it was."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from config.rules import Rules
from tests.support.builders import (
    CUSTOMER,
    METERS,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
    webhook,
)
from tests.support.examples import examples
from tests.support.ledgers import compare, ledger_in, rebuild, run
from tests.support.polar_orders import Operations, operations_at
from workers.core.delivery import Status
from workers.core.envelope import peek_type
from workers.core.manual import MANUAL_REVOKE, ManualGrant, ManualRevoke
from workers.store.audit import Audit

PACK = rule("pack", {"api_usage": "0.7", "images": 9}, triggers=["purchase"], on_refund="revoke")
MORE = rule("more", {"api_usage": 2}, on_refund="revoke")
KEPT = rule("kept", {"api_usage": 100, "seconds": "1.5"})
BONUS = rule("bonus", {"api_usage": 50, "seconds": 1}, once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25}, triggers=["customer.created"])
PERIOD = rule("period", {"images": 3}, triggers=["subscription.cycled"])
FILES = [
    rules_of(PACK),
    rules_of(PACK, MORE, BONUS, WELCOME, PERIOD),
    rules_of(PACK, KEPT, WELCOME, WELCOME.replace("welcome", "hello")),
    rules_of(BONUS, PERIOD, WELCOME),
]
OTHER = some_id(50)

Delivery = tuple[str, str, bytes]


def told(body: bytes) -> Delivery:
    return (f"msg-{hash(body)}", peek_type(body) or "", body)


def paid(number: int, customer: str) -> Delivery:
    return told(order_webhook(id=some_id(number), customer_id=customer))


def refunded(number: int, customer: str) -> Callable[[int], Delivery]:
    return lambda cents: told(refund_webhook(cents, id=some_id(number), customer_id=customer))


def by_hand(number: int, customer: str) -> Delivery:
    return ManualGrant(
        key=f"beta-{number}",
        customer="user%3A1",
        customer_id=customer,
        meter="images",
        property_name="units",
        units=Decimal("2.5"),
        reason="why not" if number == 1 else "",
    ).delivery()


def revoked(number: int, customer: str) -> Delivery:
    meter = None if number == 1 else "images"
    return ManualRevoke(order_id=some_id(number), customer_id=customer, meter=meter).delivery()


def period(number: int, customer: str) -> Delivery:
    return told(webhook("subscription_cycled", id=some_id(number), customer_id=customer))


def created(_number: int, customer: str) -> Delivery:
    return told(webhook("customer_created", id=customer))


def work(operations: Operations, batch: list[Delivery]) -> list[Delivery]:
    """Let these come at once; return them, but for a revoke that came too early: later it would take."""
    once = list({one[0]: one for one in batch}.values())
    statuses = run(operations, once)
    operations.run_due()  # the take-backs of orders that were credited just now
    return [
        one
        for one, status in zip(once, statuses, strict=True)
        if status is not Status.SKIPPED or one[1] != MANUAL_REVOKE
    ]


def sorted_rules(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the same with the rules in one order: of a refund it says nothing."""
    return metadata | {"rules": sorted(metadata.get("rules", "").split(","))}


def listed_in(operations: Operations) -> list[list[str]]:
    """Return the keys that are listed: as the newest, and for each customer."""
    audit = Audit(operations.redis, operations.ledger)
    lists = [audit.newest(), *(audit.of_customer(one) for one in (CUSTOMER, OTHER))]
    return [sorted(one.grant.key for one in found) for found in lists]


_numbers, _customers = st.integers(1, 2), st.sampled_from([CUSTOMER, OTHER])
deliveries = st.one_of(
    *(st.builds(make, _numbers, _customers) for make in (paid, paid, by_hand, revoked, period, created)),
    st.tuples(st.builds(refunded, _numbers, st.just(CUSTOMER)), st.sampled_from([1, 333, 600, 1000])).map(
        lambda drawn: drawn[0](drawn[1])
    ),
)


@settings(max_examples=examples(80), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(st.lists(deliveries, min_size=1, max_size=4), max_size=6),
    rules=st.sampled_from(FILES),
)
def test_what_was_granted_stands_again_and_no_delivery_changes_it(
    redis: Redis, history: list[list[Delivery]], rules: Rules
) -> None:
    redis.flushall()
    with operations_at(redis) as operations:
        operations.rules = rules
        operations.polar.add_customer(OTHER)
        for meter, summed in METERS.items():
            operations.polar.add_meter(meter, summed)
        settled = [one for batch in history for one in work(operations, batch)]
        before, events = ledger_in(redis), json.dumps(operations.polar.events)
        listed = listed_in(operations)
        redis.flushall()
        found = compare(operations)
        assert (found.invalid, found.differing, found.matching, found.claimed) == ([], [], 0, [])
        done = rebuild(operations)
        assert (done.grants, done.changed, done.refund_pending) == (len(operations.polar.events), [], [])
        assert ledger_in(redis) == before
        assert listed_in(operations) == listed
        again = compare(operations)
        assert (again.missing, again.matching) == ({}, len(operations.polar.events))
        run(operations, list({one[0]: one for one in settled}.values()))
        assert json.dumps(operations.polar.events) == events
        assert ledger_in(redis) == before


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(deliveries, max_size=4),
    later=st.lists(deliveries, max_size=5),
    rules=st.sampled_from([FILES[0], FILES[1], FILES[3]]),
)
def test_what_comes_later_leads_to_what_it_would_have_led_to(
    redis: Redis, first: list[Delivery], later: list[Delivery], rules: Rules
) -> None:
    """But where some of an order's rules take credits back and others do not: Polar has but their sum."""
    sold = [paid(number, CUSTOMER) for number in (1, 2)]
    ends = []
    for loses in (False, True):
        redis.flushall()
        with operations_at(redis) as operations:
            operations.rules = rules
            operations.polar.add_customer(OTHER)
            for meter, summed in METERS.items():
                operations.polar.add_meter(meter, summed)
            for one in (*sold, *first):
                run(operations, [one])
            if loses:
                redis.flushall()
                rebuild(operations)
            for one in later:
                run(operations, [one])
            ends.append(
                {one["external_id"]: sorted_rules(one["metadata"]) for one in operations.polar.events}
            )
    without, with_a_loss = ends
    assert with_a_loss == without
