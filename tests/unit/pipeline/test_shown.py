"""What a webhook once showed an order to be, it stays, whatever a later webhook shows."""

import itertools
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from config.rules import Rules
from tests.support.builders import order_webhook, refund_webhook, rule, rules_of
from tests.support.fake_service import TEN, Shop, shop_with
from tests.support.recordings import payload
from workers.core.delivery import Status

FINAL, TRIAL = "order_paid_subscription_cancel_final_invoice", "order_paid_trial_start_zero"
FREE_TRIALS = rules_of(
    rule("trial", {"api_usage": 3}, triggers=["trial_start"]), rule("pack", {"api_usage": 10})
)


def order(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(payload(name))["data"]
    return data


def later(name: str) -> bytes:
    """Return the webhook of the same order, made later: reinstated, or with another trial."""
    sent = order(name)
    after = (datetime.fromisoformat(sent["created_at"]) + timedelta(days=30)).isoformat()
    changed = {"ended_at": None} if name == FINAL else {"trial_start": after, "trial_end": after}
    return order_webhook(name, subscription=sent["subscription"] | changed)


def balance(shop: Shop, name: str) -> float:
    return float(shop.polar.balance(order(name)["customer_id"]))


CASES = [(FINAL, TEN, 0), (TRIAL, TEN, 0), (TRIAL, FREE_TRIALS, 3)]


@pytest.mark.parametrize(("name", "rules", "units"), CASES)
def test_a_second_webhook_of_the_same_order_changes_nothing(name: str, rules: Rules, units: int) -> None:
    shop = Shop(rules)
    shop.tell(order_webhook(name))
    assert shop.tell(later(name)).status is Status.SKIPPED
    assert balance(shop, name) == units


@pytest.mark.parametrize(("name", "rules", "units"), CASES)
def test_neither_does_one_in_the_same_lease(name: str, rules: Rules, units: int) -> None:
    for bodies in itertools.permutations([order_webhook(name), later(name)]):
        shop = shop_with(*bodies, rules=rules)
        assert Status.WAITING not in {one.status for one in shop.work().values()}
        assert balance(shop, name) == units


def told(bodies: Sequence[bytes], rules: Rules) -> Shop:
    shop = Shop(TEN)
    for body in bodies:
        shop.tell(body)
    shop.rules = rules
    return shop


def test_rules_that_are_mended_credit_it_as_what_it_was() -> None:
    shop = told([order_webhook(TRIAL), later(TRIAL)], FREE_TRIALS)
    assert shop.replay("msg-2")["msg-2"].status is Status.GRANTED
    assert balance(shop, TRIAL) == 3


def test_the_webhook_of_a_refund_shows_it_as_well() -> None:
    sent = order(FINAL)
    refund = refund_webhook(
        100,
        **{key: sent[key] for key in ("id", "customer_id", "subscription", "billing_reason", "created_at")},
    )
    shop = told([refund], TEN)
    assert shop.tell(later(FINAL)).reason.startswith("final invoice")


def test_what_is_credited_stays_credited_by_the_plan_that_was_frozen() -> None:
    shop = told([later(FINAL)], TEN)
    assert balance(shop, FINAL) == 10
    assert shop.tell(order_webhook(FINAL)).reason.startswith("already granted")
    assert balance(shop, FINAL) == 10
