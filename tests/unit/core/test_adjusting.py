"""An adjustment brings one rule's part of an order's credits to what today's rule says, less refunds."""

from decimal import Decimal

import pytest

from config.rules import Rules
from tests.support.adjusting import adjust, ask, plan_in, standing_in
from tests.support.builders import (
    CUSTOMER,
    ORDER,
    PAID_CENTS,
    dispute_webhook,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.fake_service import UNREACHABLE, Shop, end_well, shop_with, sold
from workers.core.adjusted import credited
from workers.core.adjustments import IN_FLIGHT, NOT_AT_POLAR, REVOKED, UNCONFIRMED
from workers.core.delivery import Status
from workers.core.manual import ManualRevoke
from workers.errors import PolarRefusedError

KEY = f"credits:adjust:{ORDER}:"


def pack(units: int | str, *, policy: str = "revoke", **others: object) -> Rules:
    """Return rules that give so much, beside a gift that no refund takes."""
    given = rule("pack", {"api_usage": units}, on_refund=policy, on_dispute=policy, **others)
    return rules_of(given, rule("gift", {"api_usage": 7}))


def adjusted(shop: Shop) -> dict[str, Decimal]:
    """Return what adjustments sent to Polar, by the end of their key."""
    return {
        key.removeprefix(KEY): -Decimal(str(event["metadata"]["units"]))
        for key, event in shop.polar.events.items()
        if key.startswith(KEY)
    }


def shop_after(*bodies: bytes, gave: Rules, says: Rules) -> Shop:
    """Return a shop whose rules were mended after these webhooks."""
    shop = sold(gave)
    for body in bodies:
        shop.tell(body)
    shop.rules = says
    return shop


def test_an_order_that_got_too_little_gets_the_rest_under_a_key_of_its_own() -> None:
    shop = shop_after(gave=pack(5), says=pack(50))
    assert adjust(shop) == "45 api_usage"
    assert shop.polar.events[f"{KEY}1:api_usage"] == {
        "name": "api_usage",
        "customer_id": CUSTOMER,
        "external_id": f"{KEY}1:api_usage",
        "metadata": {
            "units": -45,
            "granted_by": "credit-granter",
            "key": f"{KEY}1:api_usage",
            "order_id": ORDER,
            "rules": "pack",
            "reason": "adjust from 5 to 50",
        },
    }
    assert adjust(shop) == ""
    assert len(adjusted(shop)) == 1


def test_an_order_that_got_too_much_gives_the_rest_back() -> None:
    shop = shop_after(gave=pack(50), says=pack(5))
    assert adjust(shop) == "took back 45 api_usage"
    assert shop.polar.balance(CUSTOMER) == 5 + 7


def test_each_adjustment_has_the_next_number() -> None:
    shop = sold(pack(5))
    for units in (50, 20, 20, 60):
        shop.rules = pack(units)
        adjust(shop)
    assert adjusted(shop) == {"1:api_usage": 45, "2:api_usage": -30, "3:api_usage": 40}


@pytest.mark.parametrize(
    ("cents", "left_before", "left"),
    [(300, 4, 35), (333, 4, 34), (999, 1, 1), (PAID_CENTS, 0, 0)],
)
def test_refunds_have_taken_their_share_of_the_new_amount(cents: int, left_before: int, left: int) -> None:
    shop = shop_after(refund_webhook(cents), gave=pack(5), says=pack(50))
    assert shop.polar.balance(CUSTOMER) == left_before + 7
    adjust(shop)
    assert shop.polar.balance(CUSTOMER) == left + 7


def test_lost_disputes_count_with_refunds() -> None:
    shop = shop_after(refund_webhook(200), dispute_webhook(7, 300), gave=pack(5), says=pack(50))
    adjust(shop)
    assert shop.polar.balance(CUSTOMER) == 25 + 7


def test_where_refunds_take_nothing_the_whole_amount_is_given() -> None:
    shop = shop_after(refund_webhook(300), gave=pack(5, policy="keep"), says=pack(50))
    adjust(shop)
    assert shop.polar.balance(CUSTOMER) == 50 + 7


@pytest.mark.parametrize(("says", "taken"), [(50, 30 - 15), (2, 1 - 0)])
def test_later_refunds_take_their_share_of_the_adjusted_amount(says: int, taken: int) -> None:
    shop = shop_after(refund_webhook(300), gave=pack(5), says=pack(says))
    adjust(shop)
    outcome = shop.tell(refund_webhook(600))
    assert outcome.reason == f"took back {taken} api_usage"
    shop.tell(refund_webhook(PAID_CENTS))
    assert shop.polar.balance(CUSTOMER) == 7


def test_a_revoke_by_hand_takes_what_is_left_of_the_adjusted_amount() -> None:
    shop = shop_after(refund_webhook(300), gave=pack(5), says=pack(50))
    adjust(shop)
    assert shop.tell(ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()[2]).reason == (
        "took back 42 api_usage"
    )
    assert shop.polar.balance(CUSTOMER) == 0
    assert adjust(shop) == REVOKED


def test_a_rule_that_matches_no_more_gives_nothing() -> None:
    shop = shop_after(gave=pack(5), says=pack(5, products=[some_id(99)]))
    assert adjust(shop) == "took back 5 api_usage"
    assert shop.polar.balance(CUSTOMER) == 7


def test_a_rule_that_matches_now_gives_its_amount_with_todays_policy() -> None:
    shop = shop_after(gave=pack(5, products=[some_id(99)]), says=pack(50))
    assert adjust(shop) == "50 api_usage"
    shop.tell(refund_webhook(PAID_CENTS))
    assert shop.polar.balance(CUSTOMER) == 7


def test_a_rule_may_give_on_other_meters_now() -> None:
    shop = sold(rules_of(rule("pack", {"api_usage": 5}, on_refund="revoke")))
    shop.rules = rules_of(rule("pack", {"images": 8, "seconds": 3}, on_refund="revoke"))
    assert adjust(shop) == "8 images, 3 seconds; took back 5 api_usage"
    assert shop.tell(refund_webhook(500)).reason == "took back 4 images, 1 seconds"
    assert [shop.polar.balance(CUSTOMER, "images"), shop.polar.balance(CUSTOMER, "seconds", "amount")] == [
        4,
        2,
    ]
    assert {grant.meter: grant.units for grant in credited(standing_in(shop))} == {
        "api_usage": 0,
        "images": 8,
        "seconds": 3,
    }


def test_an_order_that_was_never_credited_is_none_of_its_business() -> None:
    shop = shop_with(order_webhook(), rules=rules_of())
    shop.work()
    shop.rules = pack(50)
    assert adjust(shop).startswith("not credited: see `credits replay`")


def test_an_order_whose_credits_are_not_at_polar_is_left_alone() -> None:
    shop = shop_with(order_webhook(), rules=pack(5))
    shop.polar.script = [UNREACHABLE]
    shop.work()
    shop.rules = pack(50)
    assert adjust(shop) == NOT_AT_POLAR


def test_an_order_of_which_polar_may_have_another_amount_is_left_alone() -> None:
    shop = shop_with(order_webhook(), rules=pack(5))
    shop.polar.loses_answers = 1
    shop.work()
    shop.clock.advance(100)
    shop.work()
    shop.rules = pack(50)
    assert adjust(shop) == UNCONFIRMED
    shop.read_back()
    assert adjust(shop) == "45 api_usage"


def test_an_order_whose_take_back_is_under_way_is_left_alone() -> None:
    shop = sold(pack(5))
    shop.receive("refund", refund_webhook(300))
    shop.polar.script = [UNREACHABLE]
    shop.work()
    shop.rules = pack(50)
    assert adjust(shop) == IN_FLIGHT
    shop.clock.advance(100)
    shop.work()
    assert adjust(shop) == "31 api_usage"


def test_a_dismissed_order_is_left_alone() -> None:
    shop = shop_with(order_webhook(), rules=pack(5))
    shop.polar.script = [PolarRefusedError("Polar answered 422", named={0: "no"})]
    shop.work()
    shop.store.dismiss("msg-1")
    shop.rules = pack(50)
    assert adjust(shop).startswith("dismissed")


def test_an_amount_that_cannot_be_worked_out_is_told_and_changes_nothing() -> None:
    shop = shop_after(gave=pack(5), says=pack("int(order.metadata.credits)"))
    plan = plan_in(shop)
    assert plan.fails
    assert "order.metadata.credits" in plan.left_alone


def test_an_order_before_credit_from_is_left_alone() -> None:
    shop = shop_after(
        gave=pack(5), says=rules_of(rule("pack", {"api_usage": 50}), credit_from="2027-01-01T00:00:00Z")
    )
    assert "before credit_from" in adjust(shop)


def test_an_amount_that_could_not_be_taken_back_exactly_is_refused() -> None:
    shop = sold(rules_of(rule("pack", {"api_usage": 5}), rule("gift", {"api_usage": "0.00001"})))
    shop.rules = rules_of(rule("pack", {"api_usage": 10**11}))
    assert adjust(shop) == "its amounts have too many digits to be taken back exactly"


def test_a_refund_while_the_adjustment_is_under_way_counts_when_it_is_settled() -> None:
    shop = shop_after(gave=pack(5), says=pack(50))
    ask(shop)
    shop.polar.script = [UNREACHABLE]
    shop.work()
    shop.receive("refund", refund_webhook(600))
    shop.polar.script = [UNREACHABLE]
    shop.clock.advance(100)
    early = shop.work()["refund"]
    assert (early.status, early.reason) == (
        Status.SKIPPED,
        "an adjustment of this order is not at Polar yet: the refund counts when it is",
    )
    end_well(shop)
    assert shop.polar.balance(CUSTOMER) == 20 + 7


def test_a_replay_changes_nothing_and_a_replayed_order_knows_its_adjusted_amount() -> None:
    shop = shop_after(gave=pack(5), says=pack(50))
    adjust(shop)
    done = shop.replay("msg-1", f"adjust-{ORDER}-1")
    assert {id_: one.reason for id_, one in done.items()} == {
        "msg-1": "12 api_usage",
        f"adjust-{ORDER}-1": "45 api_usage",
    }
    assert shop.polar.balance(CUSTOMER) == 57


def refused(shop: Shop) -> str:
    """Let Polar refuse the adjustment; return the id of its delivery."""
    ask(shop)
    shop.polar.script = [PolarRefusedError("Polar answered 422", named={0: "no"})]
    shop.work()
    assert shop.status(f"adjust-{ORDER}-1") is Status.FAILED
    return f"adjust-{ORDER}-1"


def test_a_refused_adjustment_fails_and_can_be_replayed() -> None:
    shop = shop_after(gave=pack(5), says=pack(50))
    failed = refused(shop)
    assert adjust(shop) == IN_FLIGHT
    assert shop.replay(failed)[failed].reason == "45 api_usage"
    assert shop.polar.balance(CUSTOMER) == 57


def test_a_dismissed_adjustment_counts_for_nothing_and_another_can_replace_it() -> None:
    shop = shop_after(gave=pack(5), says=pack(50))
    failed = refused(shop)
    shop.store.dismiss(failed)
    assert shop.tell(refund_webhook(500)).reason == "took back 2 api_usage"
    assert adjust(shop) == "22 api_usage"
    assert adjusted(shop) == {"2:api_usage": 22}
    late = shop.replay(failed, by_name=True)[failed]
    assert (late.status, late.reason) == (
        Status.SKIPPED,
        "a later adjustment of this order, number 2, has replaced this one",
    )
    assert shop.polar.balance(CUSTOMER) == 25 + 7


def test_what_polar_had_already_is_not_silently_settled() -> None:
    """Redis was lost without a rebuild: the number is used again."""
    shop = shop_after(gave=pack(5), says=pack(50))
    adjust(shop)
    lost = sold(pack(5))
    lost.polar.events = dict(shop.polar.events)
    lost.rules = pack(60)
    reason = adjust(lost)
    assert reason.startswith("55 api_usage, needs review: Polar had it")
    assert adjust(lost) == UNCONFIRMED
    assert lost.tell(refund_webhook(PAID_CENTS)).status is Status.SKIPPED
