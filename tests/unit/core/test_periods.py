"""Which period an order has paid, as its webhook shows it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.builders import order_like
from tests.support.recordings import payload
from workers.core.periods import paid_period, trial_period

YEARLY = "order_paid_subscription_create_yearly"
UPGRADE = "order_paid_subscription_update_upgrade"
TRIAL = "order_paid_trial_start_zero"


def shown(like: str, **changed: Any) -> dict[str, Any]:
    subscription: dict[str, Any] = json.loads(payload(like))["data"]["subscription"]
    return subscription | changed


def test_a_renewal_has_paid_its_subscriptions_period() -> None:
    period = paid_period(order_like(YEARLY))
    assert period is not None
    assert period.start == datetime(2026, 11, 28, 20, 39, 49, 131_000, tzinfo=UTC)
    assert period.end == datetime(2027, 11, 28, 20, 39, 49, 131_000, tzinfo=UTC)
    assert period.ordered_at == datetime(2026, 11, 28, 20, 39, 49, 298_000, tzinfo=UTC)
    assert period.subscription_id == shown(YEARLY)["id"]
    assert period.product_id == "e08ca2f4-e692-4763-9f06-c3534156b990"


def test_an_upgrade_has_paid_the_rest_of_the_period() -> None:
    period = paid_period(order_like(UPGRADE))
    assert period is not None
    assert period.start == datetime(2026, 11, 28, 20, 41, 1, 506_000, tzinfo=UTC)
    assert period.end == datetime(2026, 12, 28, 20, 39, 37, 946_000, tzinfo=UTC)


def test_a_change_that_begins_a_period_has_paid_all_of_it() -> None:
    later = shown(UPGRADE, current_period_start="2026-11-28T20:41:02Z")
    period = paid_period(order_like(UPGRADE, subscription=later))
    assert period is not None
    assert period.start == datetime(2026, 11, 28, 20, 41, 2, tzinfo=UTC)


def test_a_trial_has_a_period_of_its_own() -> None:
    period = trial_period(order_like(TRIAL))
    assert period is not None
    assert (period.start.day, period.end.day) == (21, 5)
    assert trial_period(order_like(YEARLY)) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"current_period_end": None},
        {"current_period_start": "yesterday"},
        {"current_period_end": [2027]},
        {"id": None},
        {"id": "x"},
        {"current_period_end": "2026-11-28T20:39:49.131922Z"},
        {"current_period_end": "2026-11-28T00:00:00Z"},
    ],
)
def test_a_period_that_cannot_be_read_is_unknown_and_the_order_is_read(changed: dict[str, Any]) -> None:
    assert paid_period(order_like(YEARLY, subscription=shown(YEARLY, **changed))) is None


def test_an_order_without_subscription_or_product_has_paid_no_period() -> None:
    assert paid_period(order_like("order_paid_purchase")) is None
    assert trial_period(order_like("order_paid_purchase")) is None
    assert paid_period(order_like(YEARLY, product_id=None)) is None
