"""The first claim of an order freezes its plan, whoever comes at the same time."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import cast

from redis import Redis

from tests.builders import grant_of, some_id
from tests.stores import plan_of
from workers.grants import order_subject
from workers.ledger import Ledger
from workers.planning import Plan
from workers.records import Standing


def test_a_claim_is_read_back_as_it_was_made(ledger: Ledger) -> None:
    grants = (
        grant_of(1, "0.000001", 999999),
        grant_of(1, 5, meter="images"),
        grant_of(1, 7, meter="seconds"),
    )
    (claim,) = ledger.claim([("msg-1", plan_of(*grants))])
    assert claim is not None
    assert sorted(claim.grants, key=lambda one: one.key) == sorted(grants, key=lambda one: one.key)
    assert (claim.subject, claim.delivery_id, claim.settled) == (order_subject(some_id(1)), "msg-1", {})
    assert claim.unsettled == claim.grants
    assert ledger.find(claim.subject) == claim


def test_the_first_claim_stands_whatever_the_second_says(ledger: Ledger) -> None:
    (first,) = ledger.claim([("msg-1", plan_of(grant_of(1, 10)))])
    (second,) = ledger.claim([("msg-2", plan_of(grant_of(1, 999), grant_of(1, 5, meter="images")))])
    assert second == first


def test_of_two_plans_for_one_order_in_one_call_the_first_is_frozen(ledger: Ledger) -> None:
    first, second = ledger.claim([("msg-1", plan_of(grant_of(1, 10))), ("msg-2", plan_of(grant_of(1, 20)))])
    assert first == second
    assert first is not None
    assert first.grants[0].units == Decimal(10)


def test_a_plan_without_grants_freezes_nothing_and_sees_what_is_frozen(ledger: Ledger) -> None:
    nothing = Plan(subject=order_subject(some_id(1)), skip="no rule matches")
    assert ledger.claim([("msg-1", nothing)]) == [None]
    (claim,) = ledger.claim([("msg-2", plan_of(grant_of(1, 10)))])
    assert ledger.claim([("msg-3", nothing)]) == [claim]


def test_of_twenty_claims_at_once_one_is_frozen_and_all_see_that_one(ledger: Ledger) -> None:
    at_once = Barrier(20)

    def claim(number: int) -> Standing:
        at_once.wait()
        return ledger.claim([(f"msg-{number}", plan_of(grant_of(1, number + 1)))])[0]

    with ThreadPoolExecutor(20) as pool:
        claims = list(pool.map(claim, range(20)))
    assert claims == [claims[0]] * 20
    assert claims[0] is not None
    assert claims[0].delivery_id == f"msg-{claims[0].grants[0].units - 1}"


def test_a_claim_of_a_thousand_meters_is_frozen_whole(ledger: Ledger) -> None:
    """Lua hands a command only so many arguments at once."""
    grants = tuple(grant_of(1, 1, meter=f"meter-{number:04}") for number in range(1000))
    (claim,) = ledger.claim([("msg-1", plan_of(*grants))])
    assert claim is not None
    assert len(claim.grants) == 1000


def test_reasons_and_claims_are_json_that_other_tools_can_read(redis: Redis, ledger: Ledger) -> None:
    ledger.claim([("msg-1", plan_of(grant_of(1, "0.5")))])
    value = cast(bytes, redis.hget(order_subject(some_id(1)), "grant:api_usage"))
    assert json.loads(value) == ["units", [["rule-1", "0.5"]]]
