"""What can happen to a yearly plan that credits each month: states, refunds, deaths, wrong clocks."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.demo.polar import Status as Answer
from app.demo.polar.organization import SCOPES
from tests.support.builders import rule, rules_of, some_id
from tests.support.killed import KilledError
from tests.support.moving_clock import DAY, HOUR, moves_a_clock
from tests.support.real_stores import RETAIN, let_leases_end
from tests.support.years import (
    CUSTOMER,
    ORDER,
    REVOKED,
    SUBSCRIPTION,
    TRIGGERS,
    Years,
    date,
    shifted,
    years,
)
from workers.core.delivery import Lease, Status
from workers.operations.replay import Replayer
from workers.store.ledger import Ledger

pytestmark = [*moves_a_clock, pytest.mark.heavy]  # in each test months pass, on a server of its own


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Years]:
    with years(tmp_path) as service:
        yield service


def instalments(first: int, last: int, each: int = 1000) -> dict[str, int]:
    return {f"instalment:{number}": each for number in range(first, last + 1)}


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


def test_two_meters_of_one_order_go_their_own_ways(service: Years) -> None:
    service.rules = rules_of(
        rule("pro", {"api_usage": 1000}, **REVOKED), rule("art", {"images": 7}, **REVOKED | {"every": "week"})
    )
    service.buy()
    service.work()
    service.work_until(date(4, 1))
    assert service.given("images") == {"order": 7, **instalments(2, 9, each=7)}
    assert service.given() == {"order": 1000, **instalments(2, 3)}


def test_a_rule_without_instalments_on_the_same_meter_gives_once(service: Years) -> None:
    once = rule("welcome", {"api_usage": 50}, triggers=TRIGGERS)
    service.rules = rules_of(rule("pro", {"api_usage": 1000}, **REVOKED), once)
    service.buy()
    service.work()
    service.work_until(date(3, 1))
    assert service.given() == {"order": 1050, **instalments(2, 2)}


def test_a_refund_before_the_order_is_credited_counts_for_all(service: Years) -> None:
    service.buy()
    service.refund(10_000)
    service.work()
    assert service.balance() == 500
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 6000


@pytest.mark.parametrize("on_refund", ["revoke", "keep"])
def test_a_full_refund_ends_the_instalments(service: Years, on_refund: str) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000}, **REVOKED | {"on_refund": on_refund}))
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))
    service.refund(20_000)
    service.work()
    assert service.balance() == (0 if on_refund == "revoke" else 2000)
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == (0 if on_refund == "revoke" else 2000)
    assert service.standing().ended == {"api_usage": "the order was refunded in full"}


def test_with_keep_a_refund_of_a_part_changes_nothing(service: Years) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000}, **REVOKED | {"on_refund": "keep"}))
    service.buy()
    service.work()
    service.refund(10_000)
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 12_000


def test_a_lost_dispute_ends_the_instalments_and_takes_its_share(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))
    service.lose_dispute(10_000)
    service.work()
    assert service.balance() == 1000
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 1000
    assert service.standing().ended == {"api_usage": "a dispute of the order was lost"}


def test_a_refund_while_an_instalment_is_under_way_is_exact(service: Years) -> None:
    """The refund comes between the claim of the instalment and its settlement."""
    service.buy()
    service.work()
    service.go_to(date(2, 28))
    service.worker.tick()

    class Interrupted(Ledger):
        def settle(self, *args: Any) -> set[str]:
            service.refund(10_000)
            service.granter.run(service.store.lease(500))
            return super().settle(*args)

    ledger = Interrupted(service.redis, retain=RETAIN)
    shifted(service.granter, ledger=ledger).run(service.store.lease(500))
    service.work()
    assert service.balance() == 1000
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 6000


def test_revoked_by_hand_there_is_nothing_more(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))
    service.revoke()
    service.work()
    assert service.balance() == 0
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 0
    assert service.standing().ended == {"api_usage": "revoked by hand"}


def test_a_revoke_that_polar_has_not_got_yet_reaches_it_after_an_instalment_on_another_meter(
    service: Years,
) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000, "images": 7}, **REVOKED))
    service.buy()
    service.work()
    service.polar.faults.append(Answer(503))
    service.revoke("images")
    service.work()
    assert service.balance("images") == 7
    service.go_to(date(2, 28))
    service.work()
    assert service.balance("images") == 0
    assert service.given() == {"order": 1000, **instalments(2, 2)}


@pytest.mark.parametrize("refunded", [0, 5000], ids=["not refunded", "refunded by a quarter meanwhile"])
def test_a_dismissed_revoke_takes_back_later_instalments_too_when_a_person_replays_it(
    service: Years, refunded: int
) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000, "images": "0.7"}, **REVOKED))
    service.buy()
    service.work()
    customer = service.polar.customers.pop(CUSTOMER)
    service.revoke()
    service.work()
    (name,) = [one.id for one in service.store.newest([Status.FAILED])]
    service.store.dismiss([name], retain=timedelta(days=400))
    service.polar.customers[CUSTOMER] = customer
    service.work_until(date(4, 1), step=timedelta(days=15))
    assert service.balance() == 3000
    assert service.balance("images") == Decimal("2.1")
    if refunded:
        service.refund(refunded)
        service.work()
    replayer = Replayer(deliveries=service.store, ledger=service.ledger)
    (delivery,) = service.store.get([name])
    foreseen = replayer.preview(delivery, service.rules, by_name=True)
    leased = service.store.reopen([name], by_name=True)
    (outcome,) = service.granter.run(Lease(deliveries=leased))
    assert outcome.status is Status.GRANTED
    assert sum(one.units for one in foreseen.grants if one.meter == "api_usage") == -3000
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == service.balance("images") == 0
    assert set(service.standing().ended.values()) == {"revoked by hand"}


def test_what_polar_has_of_a_dismissed_revoke_ends_the_instalments_there(service: Years) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000, "images": 7}, **REVOKED))
    service.buy()
    service.work()
    service.revoke("images")
    service.work()
    assert service.balance("images") == 0
    service.redis.hset(f"credits:revoke:{ORDER}:images", "dismissed", f"revoke-{ORDER}:images")
    service.work_until(date(4, 1), step=timedelta(days=15))
    assert service.balance() == 3000
    assert service.balance("images") == 0


def test_a_dismissed_instalment_rests_alone_until_a_person_replays_it_by_name(service: Years) -> None:
    service.buy()
    service.work()
    customer = service.polar.customers.pop(CUSTOMER)
    service.go_to(date(3, 1))
    service.work()
    service.polar.customers[CUSTOMER] = customer
    (name,) = [one.id for one in [service.delivery(2)] if one]
    service.store.dismiss([name], retain=RETAIN)
    service.granter.run(Lease(deliveries=service.store.reopen([name])))
    assert service.given() == {"order": 1000}
    assert not service.standing().dismissed_with
    service.refund(10_000)
    service.work()
    assert service.balance() == 500  # the dismissed one counts as never begun
    service.granter.run(Lease(deliveries=service.store.reopen([name], by_name=True)))
    service.work()
    assert service.given()["instalment:2"] == 500  # it is worked out anew
    assert service.balance() == 1000
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 6000


def test_a_refund_that_waits_for_an_instalment_takes_its_share_when_a_person_dismisses_that(
    service: Years,
) -> None:
    service.buy()
    service.work()
    customer = service.polar.customers.pop(CUSTOMER)
    service.go_to(date(3, 1))
    service.work()
    service.refund(10_000)
    service.work()
    service.polar.customers[CUSTOMER] = customer
    assert service.balance() == 1000
    (name,) = [one.id for one in [service.delivery(2)] if one]
    service.store.dismiss([name], retain=RETAIN)
    service.work()
    assert service.balance() == 500


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


POINTS = ["claim", "take_back", "settle"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_worker_that_dies_anywhere_gives_each_instalment_once(
    service: Years, point: str, when: str, nth: int
) -> None:
    service.buy()
    service.work()
    service.go_to(date(3, 31))
    service.worker.tick()
    left = [nth]

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if when == "before" and left[0] == 0:
                raise KilledError
            answer = method(*args, **kwargs)
            if left[0] == 0:
                raise KilledError
            return answer

        return run

    ledger = Ledger(service.redis, retain=RETAIN)
    setattr(ledger, point, dying(getattr(ledger, point)))
    granter = shifted(service.granter, ledger=ledger)
    with suppress(KilledError):
        service.work(granter)
    let_leases_end(service.redis)
    service.work()
    assert service.given() == {"order": 1000, **instalments(2, 3)}
    assert service.to_come() == {"4 api_usage": date(4, 30)}


# Clocks


@pytest.mark.parametrize("step", [-40 * DAY, -DAY, -HOUR, HOUR, DAY, 40 * DAY])
def test_a_wrong_clock_of_redis_makes_nothing_early_and_nothing_late(service: Years, step: int) -> None:
    service.buy()
    service.work()
    service.work_until(date(3, 30), step=timedelta(days=15))
    service.set_redis_clock(timedelta(seconds=step))
    service.work()
    service.go_to(date(3, 31) - timedelta(minutes=1), redis_ahead=timedelta(seconds=step))
    for _ in range(3):
        service.work()
    assert service.given() == {"order": 1000, **instalments(2, 2)}
    service.go_to(date(3, 31), redis_ahead=timedelta(seconds=step))
    service.work()
    assert service.dates()["instalment:3"] == date(3, 31)
    service.go_to(date(4, 30) - timedelta(minutes=1))
    service.work()
    assert service.given() == {"order": 1000, **instalments(2, 3)}
    service.go_to(date(4, 30))
    service.work()
    assert service.dates()["instalment:4"] == date(4, 30)
