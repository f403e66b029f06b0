"""A fact that leads to grants under several keys: frozen in one step, found again whatever the rules say."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import cast

import pytest
from redis import Redis

from config.rules import Rules
from tests.support.builders import CUSTOMER, fact_like, rule, rules_of, some_id
from tests.support.real_stores import claim_of
from workers.core.claims import Standing
from workers.core.grants import customer_subject, order_subject
from workers.core.planning import plan_for
from workers.core.plans import Plan
from workers.store.ledger import Ledger

PACK = rule("pack", {"api_usage": 10, "images": "0.5"}, on_refund="revoke")
BONUS = rule("bonus", {"api_usage": 50}, once_per="customer")
SECOND = rule("second", {"seconds": 7}, once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25, "seconds": 3}, triggers=["customer.created"])
ALL = rules_of(PACK, BONUS, SECOND, WELCOME)
BONUS_SUBJECT = customer_subject(CUSTOMER, "bonus")


def order(number: int, rules: Rules = ALL) -> Plan:
    return plan_for(fact_like(id=some_id(number)), rules)


PLANS: dict[str, Callable[[], Plan]] = {
    "an order": lambda: plan_for(fact_like(), rules_of(PACK)),
    "an order with bonuses": lambda: plan_for(fact_like(), ALL),
    "an order with a bonus alone": lambda: plan_for(fact_like(), rules_of(BONUS)),
    "a period": lambda: plan_for(
        fact_like("subscription_cycled"),
        rules_of(rule("included", {"images": 3}, triggers=["subscription.cycled"]), SECOND),
    ),
    "a customer": lambda: plan_for(fact_like("customer_created"), ALL),
}


@pytest.mark.parametrize("what", PLANS)
def test_every_plan_is_read_back_as_it_was_made(ledger: Ledger, what: str) -> None:
    plan = PLANS[what]()
    (made,) = ledger.claim([("msg-1", plan)])
    read = sorted((grant for claim in made.claims for grant in claim.grants), key=lambda one: one.key)
    assert read == sorted(plan.grants, key=lambda one: one.key)
    assert {claim.delivery_id for claim in made.claims} == {"msg-1"}
    assert {claim.order_id for claim in made.claims} == {plan.order_id}
    assert len({claim.claimed_at for claim in made.claims}) == 1
    assert made.own is not None
    assert ledger.find(plan.subject) == made


def test_a_bonus_is_found_by_its_order_when_its_rule_is_gone(ledger: Ledger) -> None:
    (made,) = ledger.claim([("msg-1", plan_for(fact_like(), ALL))])
    for later in (rules_of(PACK), rules_of()):
        plan = plan_for(fact_like(), later)
        assert ledger.find_for_plan(plan) == made
        assert ledger.claim([("msg-2", plan)]) == [made]


def test_a_customer_fact_is_frozen_though_only_rules_have_grants(redis: Redis, ledger: Ledger) -> None:
    plan = plan_for(fact_like("customer_created"), ALL)
    (made,) = ledger.claim([("msg-1", plan)])
    assert claim_of(made).grants == ()
    assert [claim.subject for claim in made.claims] == [plan.subject, f"{plan.subject}:welcome"]
    more = rules_of(WELCOME, rule("more", {"images": 1}, triggers=["customer.created"]))
    ledger.claim([("msg-2", plan_for(fact_like("customer_created"), more))])
    assert redis.exists(f"{plan.subject}:more") == 0


def test_the_second_order_of_a_customer_freezes_its_own_and_sees_the_bonus_of_the_first(
    ledger: Ledger,
) -> None:
    first, second = ledger.claim([("msg-1", order(1)), ("msg-2", order(2))])
    bonus = [claim for claim in first.claims if claim.subject == BONUS_SUBJECT]
    assert bonus == [claim for claim in second.elsewhere if claim.subject == BONUS_SUBJECT]
    assert (bonus[0].delivery_id, bonus[0].order_id) == ("msg-1", some_id(1))
    assert claim_of(second).delivery_id == "msg-2"
    assert [claim.subject for claim in ledger.find(order_subject(some_id(2))).claims] == [second.subject]


def test_an_order_whose_bonus_is_taken_already_is_not_frozen(redis: Redis, ledger: Ledger) -> None:
    only = rules_of(BONUS)
    ledger.claim([("msg-1", order(1, only))])
    (second,) = ledger.claim([("msg-2", order(2, only))])
    assert second.own is None
    assert second.claims == ()
    assert [claim.delivery_id for claim in second.elsewhere] == ["msg-1"]
    assert redis.exists(order_subject(some_id(2))) == 0


def test_a_frozen_order_gets_no_bonus_that_was_added_later(redis: Redis, ledger: Ledger) -> None:
    ledger.claim([("msg-1", order(1, rules_of(PACK)))])
    (again,) = ledger.claim([("msg-2", order(1))])
    assert [claim.subject for claim in again.claims] == [order_subject(some_id(1))]
    assert redis.exists(BONUS_SUBJECT) == 0


def test_of_two_orders_of_a_customer_claimed_at_once_by_twenty_one_has_the_bonus(ledger: Ledger) -> None:
    at_once = Barrier(20)

    def claim(number: int) -> Standing:
        at_once.wait()
        return ledger.claim([(f"msg-{number}", order(1 + number % 2))])[0]

    with ThreadPoolExecutor(20) as pool:
        standings = list(pool.map(claim, range(20)))
    all_claims = [claim for standing in standings for claim in (*standing.claims, *standing.elsewhere)]
    bonuses = [claim for claim in all_claims if claim.subject == BONUS_SUBJECT]
    assert bonuses == [bonuses[0]] * 20
    for number in (1, 2):
        own = {claim_of(standing).delivery_id for standing in standings[number - 1 :: 2]}
        assert len(own) == 1
    winners = [ledger.find(order_subject(some_id(number))) for number in (1, 2)]
    linked = [[claim.subject for claim in one.claims].count(BONUS_SUBJECT) for one in winners]
    assert sorted(linked) == [0, 1]
    assert bonuses[0].order_id == some_id(1 + linked.index(1))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("what", PLANS)
def test_reading_for_a_plan_changes_nothing(redis: Redis, ledger: Ledger, what: str, *, frozen: bool) -> None:
    plan = PLANS[what]()
    if frozen:
        ledger.claim([("msg-1", plan)])
    before = dump(redis)
    refunded = plan_for(fact_like(refunded_amount=300), ALL)
    standings = [ledger.find_for_plan(plan), ledger.find_for_plan(refunded), ledger.find(plan.subject)]
    assert bool(standings[0].claims) is frozen
    assert dump(redis) == before
    assert bool(before) is frozen


def dump(redis: Redis) -> dict[bytes, bytes]:
    return {name: cast(bytes, redis.dump(name)) for name in cast(list[bytes], redis.keys())}
