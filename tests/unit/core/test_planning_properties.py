"""For any rules and any fact, a plan equals a second, simple computation of docs/rules.md."""

import random
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import islice

from hypothesis import assume, given
from hypothesis import strategies as st

from config.intervals import Every
from tests.support.builders import rules_of
from tests.support.dates import repeated
from tests.support.drawing import CREATED
from tests.support.drawn_facts import Known, facts
from tests.support.drawn_rules import DrawnRule, line_of, rule_sets, written
from workers.core.planning import plan_for
from workers.core.plans import Plan

Sums = dict[str, Decimal]

_MOST_INSTALMENTS = 600
_MOST_DIGITS = 15  # of which a number with a fraction needs six after the point


def given_by(plan: Plan) -> Sums:
    return {grant.key: grant.units for grant in plan.grants}


def applies(one: DrawnRule, known: Known) -> bool:
    return (
        known.trigger in one.triggers
        and (not one.products or known.product_id in one.products)
        and (one.begins is None or one.begins <= CREATED)
        and (one.ends is None or one.ends > CREATED)
        and (one.when is None or one.when.holds(known))
    )


def subject_of(one: DrawnRule, known: Known) -> str:
    """Return the subject of a rule's grant: the customer and the rule, or the fact."""
    if one.once or known.trigger == "customer.created":
        return f"credits:customer:{known.customer_id}:{one.name}"
    return known.fact.subject


def expected(known: Known, drawn: list[DrawnRule]) -> Sums | None:
    """Return the sums by key of the rules that apply; None if one fails, or instalments are impossible."""
    found: dict[str, list[tuple[Decimal, Every | None]]] = {}
    for one in drawn:
        if not applies(one, known):
            continue
        for meter, amount in one.grant.items():
            worth = amount.worth(known)
            if worth is None:
                return None
            if worth:
                found.setdefault(f"{subject_of(one, known)}:{meter}", []).append((worth, one.every))
    if not all(is_possible(parts, known) for parts in found.values()):
        return None
    return {key: sum((worth for worth, _ in parts), Decimal(0)) for key, parts in found.items()}


def is_possible(parts: list[tuple[Decimal, Every | None]], known: Known) -> bool:
    """Return whether the instalments of a grant can be dated, counted and added up."""
    every = next((each for _, each in parts if each), None)
    if every is None:
        return True
    if known.period is None:
        return False
    number = sum(1 for _ in islice(repeated(every, *known.period), _MOST_INSTALMENTS + 1))
    total = sum((worth * (number if each else 1) for worth, each in parts), Decimal(0))
    decimals = 0 if all(worth % 1 == 0 for worth, _ in parts) else 6
    return number <= _MOST_INSTALMENTS and total < Decimal(10) ** (_MOST_DIGITS - decimals)


@given(facts(), rule_sets())
def test_a_plan_is_the_sum_of_the_rules_that_apply_or_a_failure(known: Known, drawn: list[DrawnRule]) -> None:
    plan, sums = plan_for(known.fact, written(drawn)), expected(known, drawn)
    assert given_by(plan) == (sums or {})
    assert bool(plan.failure) is (sums is None)


@given(facts(), rule_sets())
def test_a_plan_has_grants_or_a_reason_or_a_failure_and_never_two_of_them(
    known: Known, drawn: list[DrawnRule]
) -> None:
    plan = plan_for(known.fact, written(drawn))
    assert [bool(plan.grants), bool(plan.skip), bool(plan.failure)].count(True) == 1
    assert all(part.units > 0 for grant in plan.grants for part in grant.parts)


@given(facts(), rule_sets())
def test_only_parts_of_rules_that_revoke_can_be_taken_back(known: Known, drawn: list[DrawnRule]) -> None:
    revoking = {one.name for one in drawn if one.revokes}
    parts = [part for grant in plan_for(known.fact, written(drawn)).grants for part in grant.parts]
    assert all(part.revocable is (part.rule in revoking) for part in parts)


@given(facts(), rule_sets())
def test_only_parts_of_rules_with_every_come_again_and_only_then_there_is_a_period(
    known: Known, drawn: list[DrawnRule]
) -> None:
    plan, every = plan_for(known.fact, written(drawn)), {one.name: one.every for one in drawn}
    parts = [part for grant in plan.grants for part in grant.parts]
    assert all(part.every == every[part.rule] for part in parts)
    shown = (plan.period.start, plan.period.end) if plan.period else None
    assert shown == (known.period if any(part.every for part in parts) else None)


@given(facts(), rule_sets(), st.randoms())
def test_the_order_of_rules_in_the_file_changes_no_amount(
    known: Known, drawn: list[DrawnRule], shuffler: random.Random
) -> None:
    shuffled = shuffler.sample(drawn, len(drawn))
    first, second = plan_for(known.fact, written(drawn)), plan_for(known.fact, written(shuffled))
    assert list(given_by(first).items()) == list(given_by(second).items())
    assert bool(first.failure) is bool(second.failure)


@given(facts(), rule_sets())
def test_a_plan_is_the_same_each_time(known: Known, drawn: list[DrawnRule]) -> None:
    assert plan_for(known.fact, written(drawn)) == plan_for(known.fact, written(drawn))


@given(facts(), rule_sets())
def test_no_two_grants_have_the_same_key(known: Known, drawn: list[DrawnRule]) -> None:
    keys = [grant.key for grant in plan_for(known.fact, written(drawn)).grants]
    assert keys == sorted(set(keys), key=keys.index)


@given(facts(), rule_sets(), st.integers(-2, 2))
def test_credit_from_excludes_exactly_what_happened_before_it(
    known: Known, drawn: list[DrawnRule], seconds: int
) -> None:
    lines = [line_of(one) for one in drawn]
    moment = CREATED + timedelta(seconds=seconds)
    cut = plan_for(known.fact, rules_of(*lines, credit_from=moment.isoformat()))
    whole = plan_for(known.fact, rules_of(*lines))
    if seconds <= 0:
        assert cut == whole
    else:
        assert (cut.grants, cut.failure) == ((), "")
        assert cut.skip


@given(facts(), rule_sets(), st.data())
def test_one_more_rule_does_not_change_what_the_others_grant(
    known: Known, drawn: list[DrawnRule], data: st.DataObject
) -> None:
    """Every matching rule applies independently; only a failure stops them all."""
    assume(drawn)
    fewer = [one for one in drawn if one is not data.draw(st.sampled_from(drawn))]
    before, after = plan_for(known.fact, written(fewer)), plan_for(known.fact, written(drawn))
    assume(not after.failure)
    assert not before.failure
    names: Mapping[str, set[str]] = {grant.key: set(grant.rules) for grant in after.grants}
    assert all(set(grant.rules) <= names[grant.key] for grant in before.grants)
