"""A grant's key names the order, the period, or the customer and the rule."""

from datetime import datetime

from tests.support.builders import CUSTOMER, ORDER, fact_like, rule, rules_of, some_id
from workers.core.planning import plan_for
from workers.core.plans import Plan

PACK = rule("pack", {"api_usage": 10})
BONUS = rule("bonus", {"api_usage": 50, "images": 5}, once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25}, triggers=["customer.created"])


def keys(made: Plan) -> list[str]:
    return [grant.key for grant in made.grants]


def test_the_rules_for_an_order_share_one_key_per_meter() -> None:
    made = plan_for(fact_like(), rules_of(PACK, rule("more", {"api_usage": 1, "images": 2})))
    assert keys(made) == [f"credits:order:{ORDER}:api_usage", f"credits:order:{ORDER}:images"]


def test_a_periods_keys_have_its_subscription_and_its_start() -> None:
    fact = fact_like("subscription_cycled")
    line = rule("included", {"api_usage": 10}, triggers=["subscription.cycled"])
    start = datetime.fromisoformat(fact.variables.values["subscription"]["current_period_start"])
    made = plan_for(fact, rules_of(line))
    id_ = fact.variables.values["subscription"]["id"]
    assert keys(made) == [f"credits:cycle:{id_}:{start.timestamp() // 1:.0f}:api_usage"]
    assert [grant.order_id for grant in made.grants] == [None]


def test_a_new_subscriptions_keys_have_its_id() -> None:
    fact = fact_like("subscription_created_by_api_free_no_order")
    made = plan_for(fact, rules_of(rule("free", {"api_usage": 10}, triggers=["subscription.created"])))
    id_ = fact.variables.values["subscription"]["id"]
    assert keys(made) == [f"credits:subscription:{id_}:api_usage"]
    assert [grant.order_id for grant in made.grants] == [None]


def test_a_rule_once_per_customer_makes_grants_of_its_own_beside_the_orders() -> None:
    """Their key names the customer and the rule, so no later order can earn them again."""
    made = plan_for(fact_like(), rules_of(PACK, BONUS))
    assert keys(made) == [
        f"credits:customer:{CUSTOMER}:bonus:api_usage",
        f"credits:customer:{CUSTOMER}:bonus:images",
        f"credits:order:{ORDER}:api_usage",
    ]
    assert [grant.units for grant in made.grants] == [50, 5, 10]
    assert {grant.order_id for grant in made.grants} == {ORDER}
    assert made.subject == f"credits:order:{ORDER}"


def test_two_rules_once_per_customer_are_two_grants_on_one_meter() -> None:
    second = rule("second", {"api_usage": 7}, once_per="customer")
    assert keys(plan_for(fact_like(), rules_of(BONUS, second))) == [
        f"credits:customer:{CUSTOMER}:bonus:api_usage",
        f"credits:customer:{CUSTOMER}:bonus:images",
        f"credits:customer:{CUSTOMER}:second:api_usage",
    ]


def test_a_rule_once_per_customer_has_one_key_for_all_orders_of_a_customer() -> None:
    orders = [fact_like(id=some_id(number)) for number in (1, 2)]
    of_another = fact_like(id=some_id(3), customer_id=some_id(9))
    first, second, other = [keys(plan_for(fact, rules_of(BONUS))) for fact in (*orders, of_another)]
    assert first == second
    assert set(first).isdisjoint(other)


def test_a_rule_once_per_customer_has_that_key_for_a_period_too() -> None:
    line = rule("bonus", {"images": 5}, once_per="customer", triggers=["subscription.cycled"])
    fact = fact_like("subscription_cycled")
    assert keys(plan_for(fact, rules_of(line))) == [f"credits:customer:{fact.customer_id}:bonus:images"]


def test_each_rule_for_new_customers_makes_grants_of_its_own() -> None:
    fact = fact_like("customer_created")
    second = rule("second", {"api_usage": 7}, triggers=["customer.created"])
    made = plan_for(fact, rules_of(WELCOME, second, PACK))
    assert keys(made) == [
        f"credits:customer:{fact.customer_id}:second:api_usage",
        f"credits:customer:{fact.customer_id}:welcome:api_usage",
    ]
    assert made.subject == f"credits:customer:{fact.customer_id}"
    assert made.order_id is None


def test_renamed_a_rule_once_per_customer_is_a_new_one() -> None:
    lines = BONUS, BONUS.replace("bonus", "gift")
    before, after = (keys(plan_for(fact_like(), rules_of(line))) for line in lines)
    assert set(before).isdisjoint(after)
