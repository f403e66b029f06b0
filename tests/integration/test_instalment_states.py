"""A yearly plan that credits each month, as its subscription changes: unpaid, hidden, ended, bought anew."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.demo.polar.organization import SCOPES
from tests.support.builders import some_id
from tests.support.moving_clock import moves_a_clock
from tests.support.years import ORDER, SUBSCRIPTION, Years, date, instalments, years
from workers.core.delivery import Status

pytestmark = [*moves_a_clock, pytest.mark.heavy]  # in each test months pass, on a server of its own


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Years]:
    with years(tmp_path) as service:
        yield service


@pytest.mark.parametrize("state", ["past_due", "unpaid", "paused", "incomplete"])
def test_a_subscription_that_is_not_paid_waits_and_is_looked_at_daily(service: Years, state: str) -> None:
    service.buy()
    service.work()
    service.change(status=state)
    service.go_to(date(3, 1))
    (outcome,) = service.work()
    assert outcome.reason == f"the subscription is {state}"
    assert service.delivery(2) is None
    assert abs(service.to_come()["2 api_usage"] - date(3, 2)) < timedelta(seconds=9)
    service.work_until(date(3, 9))
    assert service.given() == {"order": 1000}
    assert service.standing().waits == {"api_usage": f"the subscription is {state}"}
    service.change(status="active")
    service.work_until(date(3, 11))
    assert service.given() == {"order": 1000, **instalments(2, 2)}
    assert service.standing().waits == {}
    service.work_until(date(12, 31), step=timedelta(days=10))
    assert service.given() == {"order": 1000, **instalments(2, 12)}


def test_a_subscription_that_polar_does_not_find_waits(service: Years) -> None:
    service.buy()
    service.work()
    hidden = service.polar.subscriptions.pop(SUBSCRIPTION)
    service.go_to(date(3, 1))
    (outcome,) = service.work()
    assert outcome.reason == "Polar does not find the subscription"
    service.polar.subscriptions[SUBSCRIPTION] = hidden
    service.work_until(date(3, 3))
    assert service.given() == {"order": 1000, **instalments(2, 2)}


def test_what_was_cancelled_at_its_end_goes_on_to_the_end_of_what_was_paid(service: Years) -> None:
    service.buy()
    service.work()
    service.change(cancel_at_period_end=True, canceled_at=date(3, 5).isoformat())
    service.work_until(date(12, 31), step=timedelta(days=10))
    assert service.given() == {"order": 1000, **instalments(2, 12)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "canceled", "ended_at": "2027-04-05T00:00:00Z"}, "the subscription ended at 2027-04-05"),
        ({"product_id": some_id(8)}, "the subscription has another product"),
    ],
)
def test_what_ended_has_no_further_instalments(service: Years, change: dict[str, str], reason: str) -> None:
    service.buy()
    service.work()
    service.work_until(date(4, 1), step=timedelta(days=15))
    service.change(**change)
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.given() == {"order": 1000, **instalments(2, 3)}
    delivery = service.delivery(4)
    assert delivery is None or delivery.status is Status.SKIPPED
    assert service.standing().ended["api_usage"].startswith(reason)
    assert service.to_come() == {}
    service.change(status="active", ended_at=None, product_id=service.polar.orders[ORDER].product_id)
    service.work_until(date(1, 15, 2028), step=timedelta(days=15))
    assert service.given() == {"order": 1000, **instalments(2, 3)}


def test_a_later_order_of_the_subscription_ends_the_earlier_ones_instalments(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(4, 1), step=timedelta(days=15))
    upgrade = some_id(7002)
    service.buy(upgrade, billing_reason="subscription_update")
    service.work()
    service.work_until(date(3, 31, 2028), step=timedelta(days=15))
    keys = [event["external_id"] for event in service.polar.events]
    assert sum(ORDER in key for key in keys) == 3
    assert sum(upgrade in key for key in keys) == 12
    assert service.standing().ended == {"api_usage": f"replaced by order {upgrade}"}


def test_what_was_due_before_a_renewal_is_given_though_nobody_worked_until_after_it(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(11, 1), step=timedelta(days=15))
    renewal = some_id(7002)
    service.go_to(date(1, 31, 2028))
    service.buy(renewal, billing_reason="subscription_cycle")
    service.go_to(date(3, 15, 2028))
    service.work()
    keys = [event["external_id"] for event in service.polar.events]
    assert sum(ORDER in key for key in keys) == 12
    assert sum(renewal in key for key in keys) == 2
    assert service.to_come() == {"3 api_usage": date(3, 31, 2028)}


def test_what_waited_for_its_subscription_ends_with_a_later_order(service: Years) -> None:
    service.buy()
    service.work()
    service.change(status="paused")
    service.work_until(date(3, 10), step=timedelta(days=5))
    service.change(status="active")
    service.buy(some_id(7002), billing_reason="subscription_cycle")
    service.work_until(date(3, 15), step=timedelta(days=1))
    assert service.given() == {"order": 1000}
    assert service.standing().ended == {"api_usage": f"replaced by order {some_id(7002)}"}


def test_while_subscriptions_cannot_be_looked_up_nothing_is_lost_or_failed(service: Years) -> None:
    service.buy()
    service.work()
    service.polar.scopes = frozenset({"events:write"})
    service.go_to(date(3, 1))
    service.worker.tick()
    (outcome,) = service.granter.run(service.store.lease(500))
    assert (outcome.status, round(outcome.after_seconds)) == (Status.WAITING, 60)
    assert outcome.reason.endswith("give the token the scope subscriptions:read in Polar's dashboard")
    service.polar.scopes = SCOPES
    service.go_to(date(3, 2))
    service.work()
    assert service.given() == {"order": 1000, **instalments(2, 2)}
