"""Bonuses and welcomes are granted once per customer and rule, whatever webhooks come."""

import pytest

from config.rules import Rules
from tests.support.builders import CUSTOMER, ORDER, order_webhook, rule, rules_of, some_id, webhook
from tests.support.fake_service import NOBODY, Shop, crash, shop_with, work_but_before_settling
from tests.support.killed import KilledError
from tests.support.recordings import payload
from workers.core.delivery import Outcome, Status
from workers.errors import PolarRefusedError
from workers.timings import DEFAULT_TIMINGS

PACK = rule("pack", {"api_usage": 10})
BONUS = rule("bonus", {"api_usage": 50}, once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25}, triggers=["customer.created"])
BOTH = rules_of(PACK, BONUS)
ONLY_BONUS = rules_of(BONUS)
ONLY_PACK = rules_of(PACK)
BONUS_KEY = f"credits:customer:{CUSTOMER}:bonus:api_usage"


def order(number: int, customer_id: str = CUSTOMER) -> bytes:
    return order_webhook(id=some_id(number), customer_id=customer_id)


def ends(outcome: Outcome) -> tuple[Status, str]:
    return outcome.status, outcome.reason


def killed(shop: Shop) -> Shop:
    """Kill a worker after the claim and before it sends anything to Polar."""
    shop.polar.script = [KilledError()]
    crash(shop)
    assert shop.polar.events == {}
    return shop


def test_the_first_order_brings_the_bonus_and_the_second_does_not() -> None:
    shop = shop_with(order(1), rules=BOTH)
    assert ends(shop.work()["msg-1"]) == (Status.GRANTED, "60 api_usage")
    assert ends(shop.tell(order(2))) == (Status.GRANTED, "10 api_usage")
    assert shop.polar.balance(CUSTOMER) == 70
    assert BONUS_KEY in shop.polar.events


def test_another_customer_has_a_bonus_of_their_own() -> None:
    shop = shop_with(order(1), order(2, some_id(9)), rules=BOTH)
    shop.work()
    assert [shop.polar.balance(customer_id) for customer_id in (CUSTOMER, some_id(9))] == [60, 60]


def test_two_rules_once_per_customer_are_two_bonuses() -> None:
    second = rule("second", {"api_usage": 7}, once_per="customer")
    shop = shop_with(order(1), order(2), rules=rules_of(BONUS, second))
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 57


def test_two_orders_of_one_customer_in_one_share_bring_one_bonus() -> None:
    shop = shop_with(order(1), order(2), rules=BOTH)
    outcomes = shop.work()
    assert [ends(one) for one in outcomes.values()] == [
        (Status.GRANTED, "60 api_usage"),
        (Status.GRANTED, "10 api_usage"),
    ]
    assert shop.polar.balance(CUSTOMER) == 70


def test_one_order_twice_in_one_share_brings_one_bonus() -> None:
    shop = shop_with(order(1), order(1), rules=BOTH)
    outcomes = shop.work()
    assert [one.status for one in outcomes.values()] == [Status.GRANTED, Status.SKIPPED]
    assert shop.polar.balance(CUSTOMER) == 60


def test_an_order_worth_only_the_bonus_says_which_delivery_earned_it_before() -> None:
    shop = shop_with(order(1), rules=ONLY_BONUS)
    shop.work()
    shop.clock.advance(3600)
    second = shop.tell(order(2))
    assert ends(second) == (
        Status.SKIPPED,
        "already granted to this customer by rule bonus: claimed by delivery msg-1 at 2026-11-21T00:00:00Z",
    )
    assert some_id(2) == second.order_id
    assert len(shop.polar.requests) == 1


def test_a_redelivery_or_a_replay_of_the_first_order_brings_no_second_bonus() -> None:
    shop = shop_with(order(1), rules=BOTH)
    shop.work()
    again = shop.tell(order(1))
    assert again.status is Status.SKIPPED
    assert again.reason.startswith("already granted: claimed by delivery msg-1 at ")
    assert ends(shop.replay("msg-1")["msg-1"]) == (Status.GRANTED, "60 api_usage")
    assert shop.polar.balance(CUSTOMER) == 60
    assert len(shop.polar.requests) == 1


@pytest.mark.parametrize("next_", [order(1), order(2)], ids=["the order again", "another order"])
@pytest.mark.parametrize("later", [NOBODY, ONLY_PACK, BOTH], ids=["no rules", "no bonus", "the same"])
def test_a_bonus_that_a_killed_worker_had_claimed_is_given_whatever_the_rules_say_by_then(
    later: Rules, next_: bytes
) -> None:
    shop = killed(shop_with(order(1), rules=BOTH))
    shop.rules = later
    shop.receive("msg-2", next_)
    shop.work()
    claimed = [BONUS_KEY, f"credits:order:{some_id(1)}:api_usage"]
    assert [-shop.polar.events[key]["metadata"]["units"] for key in claimed] == [50, 10]


def test_a_second_order_leaves_the_bonus_to_the_first_whose_worker_was_killed() -> None:
    """The bonus belongs to the first order, whatever happens to that."""
    shop = killed(shop_with(order(1), rules=BOTH))
    shop.store.deliveries["msg-1"].due = None
    assert ends(shop.tell(order(2))) == (Status.GRANTED, "10 api_usage")
    assert list(shop.polar.events) == [f"credits:order:{some_id(2)}:api_usage"]
    assert ends(shop.replay("msg-1")["msg-1"]) == (Status.GRANTED, "60 api_usage")
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_bonus_that_polar_refuses_fails_its_own_order_and_no_later_one() -> None:
    shop = shop_with(order(1), rules=BOTH)
    shop.polar.script = [PolarRefusedError("Polar answered 422", named={0: "metadata: no"})]
    assert shop.work()["msg-1"].status is Status.FAILED
    assert BONUS_KEY not in shop.polar.events
    assert ends(shop.tell(order(2))) == (Status.GRANTED, "10 api_usage")
    assert ends(shop.replay("msg-1")["msg-1"]) == (Status.GRANTED, "60 api_usage")
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_bonus_is_granted_once_although_its_worker_overslept_its_lease() -> None:
    shop = shop_with(order(1), rules=BOTH)

    def another_order_comes() -> None:
        shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
        shop.tell(order(2))

    work_but_before_settling(shop, another_order_comes)
    assert shop.polar.balance(CUSTOMER) == 70


def test_a_frozen_order_never_gets_a_bonus_that_was_added_later() -> None:
    shop = shop_with(order(1), rules=ONLY_PACK)
    shop.work()
    shop.rules = BOTH
    for outcome in (shop.replay("msg-1")["msg-1"], shop.tell(order(1))):
        assert outcome.status in {Status.GRANTED, Status.SKIPPED}
    assert shop.polar.balance(CUSTOMER) == 10
    assert BONUS_KEY not in shop.store.claims


def test_its_replay_says_that_todays_rules_would_give_more() -> None:
    shop = shop_with(order(1), rules=ONLY_PACK)
    shop.work()
    shop.rules = BOTH
    reason = shop.replay("msg-1")["msg-1"].reason
    assert reason == "10 api_usage, as claimed at 2026-11-21T00:00:00Z; today's rules say 60 api_usage"


def test_a_skipped_order_gets_a_bonus_that_was_added_later() -> None:
    shop = shop_with(order(1), rules=NOBODY)
    assert shop.work()["msg-1"].status is Status.SKIPPED
    shop.rules = BOTH
    assert ends(shop.replay("msg-1")["msg-1"]) == (Status.GRANTED, "60 api_usage")


def test_an_order_frozen_with_the_bonus_alone_gets_nothing_of_rules_that_were_added_later() -> None:
    shop = shop_with(order(1), rules=ONLY_BONUS)
    shop.work()
    shop.rules = BOTH
    shop.replay("msg-1")
    assert shop.polar.balance(CUSTOMER) == 50


def test_an_order_whose_bonus_was_earned_before_claims_nothing() -> None:
    """It was skipped, so rules that are fixed later can still credit it."""
    shop = shop_with(order(1), order(2), rules=ONLY_BONUS)
    shop.work()
    shop.rules = BOTH
    assert shop.replay("msg-2")["msg-2"].reason == "10 api_usage"
    assert shop.polar.balance(CUSTOMER) == 60


def test_a_bonus_that_polar_refuses_fails_its_order_and_is_given_at_the_replay() -> None:
    shop = shop_with(order(1), rules=BOTH)
    shop.polar.script = [PolarRefusedError("Polar answered 422", named={0: "name: is reserved"})]
    assert ends(shop.work()["msg-1"]) == (Status.FAILED, "refused by Polar: name: is reserved")
    assert shop.polar.balance(CUSTOMER) == 10
    assert shop.replay("msg-1")["msg-1"].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 60


def test_a_bonus_for_a_paid_order_and_for_a_period_of_its_customer_is_one() -> None:
    line = rule("bonus", {"api_usage": 50}, once_per="customer", triggers=["purchase", "subscription.cycled"])
    shop = shop_with(order(1), webhook("subscription_cycled", customer_id=CUSTOMER), rules=rules_of(line))
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 50


# A new customer

NEW = payload("customer_created")
WHO = "66ed05d1"  # the beginning of their id


def welcomed(shop: Shop) -> list[str]:
    return [key.split(":")[3] for key in shop.polar.events if key.startswith(f"credits:customer:{WHO}")]


def test_a_new_customer_is_welcomed_once_whatever_comes_again() -> None:
    shop = shop_with(NEW, NEW, rules=rules_of(WELCOME))
    first, second = shop.work().values()
    assert ends(first) == (Status.GRANTED, "25 api_usage")
    assert (first.order_id, first.customer_id[:8]) == ("", WHO)
    assert second.reason.startswith("already granted: claimed by delivery msg-1 at ")
    assert shop.tell(NEW).status is Status.SKIPPED
    assert shop.replay("msg-1")["msg-1"].status is Status.GRANTED
    assert welcomed(shop) == ["welcome"]
    assert len(shop.polar.requests) == 1


def test_a_customer_who_was_welcomed_gets_no_welcome_that_was_added_later() -> None:
    second = rule("second", {"api_usage": 7}, triggers=["customer.created"])
    shop = shop_with(NEW, rules=rules_of(WELCOME))
    shop.work()
    shop.rules = rules_of(WELCOME, second)
    shop.replay("msg-1")
    shop.tell(NEW)
    assert welcomed(shop) == ["welcome"]


def test_two_welcomes_of_one_day_are_two_grants() -> None:
    second = rule("second", {"api_usage": 7}, triggers=["customer.created"])
    shop = shop_with(NEW, rules=rules_of(WELCOME, second))
    assert shop.work()["msg-1"].reason == "32 api_usage"
    assert sorted(welcomed(shop)) == ["second", "welcome"]


def test_a_welcome_that_a_killed_worker_had_claimed_is_given_though_its_rule_is_gone() -> None:
    shop = killed(shop_with(NEW, rules=rules_of(WELCOME)))
    shop.rules = NOBODY
    outcome = shop.work()["msg-1"]
    assert ends(outcome) == (
        Status.GRANTED,
        "25 api_usage, as claimed at 2026-11-21T00:00:00Z; today's rules say nothing",
    )
    assert welcomed(shop) == ["welcome"]


def test_a_new_customer_without_a_rule_is_skipped() -> None:
    shop = shop_with(NEW, rules=BOTH)
    assert ends(shop.work()["msg-1"]) == (Status.SKIPPED, "no rule has the trigger customer.created")
    assert shop.store.claims == {}


# Reasons, if amounts have several keys


def test_a_replay_by_the_same_rules_finds_no_difference_whatever_the_keys_are() -> None:
    """The order's grants and the bonus have separate claims; together they match the plan."""
    lines = [rule("pack", {"images": 3, "seconds": 1}), rule("bonus", {"api_usage": 50}, once_per="customer")]
    shop = shop_with(order_webhook(), rules=rules_of(*lines))
    assert shop.work()["msg-1"].reason == "50 api_usage, 3 images, 1 seconds"
    assert shop.replay("msg-1")["msg-1"].reason == "50 api_usage, 3 images, 1 seconds"
    assert set(shop.store.claims) == {f"credits:order:{ORDER}", f"credits:customer:{CUSTOMER}:bonus"}
