"""The reason for no credit names the rules that came close, and the values that decided."""

from typing import Any

import pytest

from tests.support.builders import PRODUCT, fact_like, order_like, rule, rules_of, some_id
from tests.support.recorded_triggers import TRIAL
from workers.core.planning import Obstacle, judge, plan_for, why_not

ELSEWHERE: dict[str, Any] = {"products": [some_id(1)]}
RENEWALS: dict[str, Any] = {"triggers": ["subscription_cycle"]}
LATER: dict[str, Any] = {"from": "2999-01-01T00:00:00Z"}
OVER: dict[str, Any] = {"until": "2026-11-01T00:00:00+01:00"}
RICH: dict[str, Any] = {"when": "order.net_amount >= 5000"}


def skip(*lines: str, like: str = "order_paid_purchase", **data: Any) -> str:
    plan = plan_for(fact_like(like, **data), rules_of(*lines))
    assert (plan.grants, plan.failure) == ((), "")
    return plan.skip


@pytest.mark.parametrize(
    ("others", "obstacle", "words"),
    [
        (ELSEWHERE, Obstacle.PRODUCT, f"not for product {PRODUCT}"),
        (RENEWALS, Obstacle.TRIGGER, "not triggered by purchase"),
        (
            LATER,
            Obstacle.WINDOW,
            "created 2026-11-21T02:13:24Z, before the rule starts at 2999-01-01T00:00:00Z",
        ),
        (OVER, Obstacle.WINDOW, "created 2026-11-21T02:13:24Z, but the rule ended at 2026-10-31T23:00:00Z"),
        (RICH, Obstacle.CONDITION, "order.net_amount >= 5000 is false (order.net_amount is 1000)"),
        ({}, Obstacle.NOTHING_GIVEN, "gives 0 api_usage"),
    ],
    ids=["product", "trigger", "from", "until", "when", "0"],
)
def test_a_rule_that_does_not_apply_has_one_obstacle_and_names_it(
    others: dict[str, Any], obstacle: Obstacle, words: str
) -> None:
    fact = fact_like()
    (one,) = rules_of(rule("any", {"api_usage": "order.net_amount - 1000"}, **others)).rules
    verdict = judge(one, fact)
    assert (verdict.obstacle, verdict.amounts, verdict.failure) == (obstacle, {}, "")
    assert why_not(verdict, fact) == words


def test_the_first_of_several_obstacles_is_reported() -> None:
    """Checked in this order: product, trigger, window, condition, amount."""
    obstacles: dict[str, Any] = {}
    on_the_way: list[dict[str, Any]] = [ELSEWHERE, RENEWALS, LATER, RICH, {}]
    for obstacle, more in reversed(list(zip(Obstacle, on_the_way, strict=True))):
        obstacles |= more
        (one,) = rules_of(rule("any", {"api_usage": "order.net_amount - 1000"}, **obstacles)).rules
        assert judge(one, fact_like()).obstacle is obstacle


CREATED_TRIAL = "subscription_created_trialing"


@pytest.mark.parametrize(
    ("like", "triggers", "words"),
    [
        (
            CREATED_TRIAL,
            ["subscription.created"],
            "rule any: a subscription that begins with a trial counts only beside trial_start",
        ),
        (
            TRIAL,
            ["subscription.created", "trial_start"],
            "rule any: it credits a trial by subscription.created, not by the trial's order",
        ),
        (
            CREATED_TRIAL,
            ["trial_start"],
            "no rule for product b41120e3-7b3b-4488-b81f-4ea4d5848a78 has the trigger subscription.created",
        ),
    ],
)
def test_the_start_of_a_trial_says_which_of_its_two_webhooks_counts(
    like: str, triggers: list[str], words: str
) -> None:
    assert skip(rule("any", {"api_usage": 1}, triggers=triggers), like=like) == words


def test_if_no_rule_names_the_product_the_reason_says_only_that() -> None:
    elsewhere = rule("a", {"api_usage": 1}, **ELSEWHERE)
    assert skip(elsewhere, elsewhere.replace('"a"', '"b"')) == f"no rule names product {PRODUCT}"
    assert skip(elsewhere, like="order_paid_product_null") == "no rule names product (none)"


def test_if_no_rule_for_the_product_has_the_trigger_the_reason_says_so() -> None:
    lines = rule("a", {"api_usage": 1}, **ELSEWHERE), rule("b", {"api_usage": 1}, **RENEWALS)
    assert skip(*lines) == f"no rule for product {PRODUCT} has the trigger purchase"


def test_a_trials_start_is_credited_only_by_a_rule_that_names_it() -> None:
    words = f"no rule for product {order_like(TRIAL).product_id} has the trigger trial_start"
    assert skip(rule("usual", {"api_usage": 1}), like=TRIAL) == words


@pytest.mark.parametrize(
    "lines", [[], [rule("a", {"api_usage": 1}, **ELSEWHERE)], [rule("b", {"images": 1})]]
)
def test_the_reason_for_a_new_customer_does_not_mention_a_product(lines: list[str]) -> None:
    assert skip(*lines, like="customer_created") == "no rule has the trigger customer.created"


def test_only_the_rules_that_came_closest_are_named() -> None:
    reason = skip(
        rule("elsewhere", {"api_usage": 1}, **ELSEWHERE),
        rule("renewals", {"api_usage": 1}, **RENEWALS),
        rule("later", {"api_usage": 1}, **LATER),
        rule("rich", {"api_usage": 1}, **RICH),
        rule("richer", {"api_usage": 1}, when="order.net_amount > 9000"),
    )
    assert reason == (
        f"no rule names product {PRODUCT}; "
        "rule rich: order.net_amount >= 5000 is false (order.net_amount is 1000); "
        "rule richer: order.net_amount > 9000 is false (order.net_amount is 1000)"
    )


def test_a_rule_that_gives_0_came_closer_than_one_whose_condition_is_false() -> None:
    reason = skip(
        rule("rich", {"api_usage": 1}, **RICH), rule("zero", {"api_usage": "order.refunded_amount"})
    )
    assert reason == "rule zero: gives 0 api_usage"


@pytest.mark.parametrize(("count", "end"), [(3, ""), (4, "; and 1 more"), (9, "; and 6 more")])
def test_at_most_three_rules_are_named(count: int, end: str) -> None:
    reason = skip(*[rule(f"late-{number}", {"api_usage": 1}, **LATER) for number in range(count)])
    assert [name in reason for name in ("late-0", "late-1", "late-2", "late-3")] == [True, True, True, False]
    assert reason.endswith("2999-01-01T00:00:00Z" + end)


# Conditions

CAMPAIGN = 'order.metadata.campaign == "launch"'


@pytest.mark.parametrize(
    ("metadata", "seen"),
    [
        ({"campaign": "winter"}, "order.metadata.campaign is the text 'winter'"),
        ({"campaign": 7}, "order.metadata.campaign is 7"),
        ({"campaign": None}, "order.metadata.campaign is null"),
        ({}, "order.metadata.campaign is missing"),
    ],
    ids=["another", "of another type", "null", "missing"],
)
def test_a_rule_does_not_apply_if_its_condition_is_false_or_a_value_is_missing(
    metadata: dict[str, object], seen: str
) -> None:
    line = rule("launch", {"api_usage": 1}, when=CAMPAIGN)
    assert skip(line, metadata=metadata) == f"rule launch: {CAMPAIGN} is false ({seen})"
    assert plan_for(fact_like(metadata={"campaign": "launch"}), rules_of(line)).grants


def test_the_false_part_of_a_condition_is_reported() -> None:
    line = rule("launch", {"api_usage": 1}, when=f"order.net_amount >= 500 && {CAMPAIGN}")
    reason = skip(line, metadata={"campaign": "winter"})
    assert reason == f"rule launch: {CAMPAIGN} is false (order.metadata.campaign is the text 'winter')"


def test_a_condition_on_a_missing_object_is_false() -> None:
    """A purchase has no subscription, so neither a comparison with it nor its opposite is true."""
    for when in ("subscription.amount > 0", "subscription.amount <= 0"):
        line = rule("any", {"api_usage": 1}, when=when, triggers=["purchase", "subscription_cycle"])
        assert skip(line).startswith(f"rule any: {when} is false (")


def test_a_condition_that_is_neither_true_nor_false_fails_the_delivery() -> None:
    lines = rule("odd", {"api_usage": 1}, when="order.metadata.flag"), rule("fine", {"api_usage": 10})
    plan = plan_for(fact_like(metadata={"flag": "yes"}), rules_of(*lines))
    assert (plan.grants, plan.skip) == ((), "")
    assert plan.failure.startswith("rule odd, when: order.metadata.flag")
    assert "'yes'" in plan.failure
