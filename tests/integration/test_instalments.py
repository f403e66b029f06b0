"""A yearly plan that credits each month, on a real Redis: its year passes in seconds."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.builders import some_id
from tests.support.moving_clock import moves_a_clock
from tests.support.years import BOUGHT, CUSTOMER, ORDER, Years, date, instalments, years
from workers.core.delivery import Lease, Status
from workers.store import keys

pytestmark = moves_a_clock

MONTHS = [
    BOUGHT,
    *(date(month, day) for month, day in ((2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31), (8, 31))),
    *(date(month, day) for month, day in ((9, 30), (10, 31), (11, 30), (12, 31))),
]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Years]:
    with years(tmp_path) as service:
        yield service


def test_a_year_is_credited_month_by_month_on_the_day_of_the_month(service: Years) -> None:
    service.buy()
    service.work()
    assert service.given() == {"order": 1000}
    for number, day in enumerate(MONTHS[1:], 2):
        service.go_to(day - timedelta(minutes=1))
        service.work()
        assert f"instalment:{number}" not in service.given()
        service.go_to(day)
        service.work()
        assert service.dates()[f"instalment:{number}"] == day
    service.work_until(date(2, 28, 2028), step=timedelta(days=7))
    assert service.given() == {"order": 1000, **instalments(2, 12)}
    assert service.to_come() == {}


def test_months_that_nobody_worked_in_are_credited_late_and_once(service: Years) -> None:
    service.buy()
    service.work()
    service.go_to(date(6, 30))
    service.work()
    assert service.given() == {"order": 1000, **instalments(2, 6)}
    service.work_until(date(12, 31), step=timedelta(days=10))
    assert service.given() == {"order": 1000, **instalments(2, 12)}


def test_a_refund_takes_its_share_of_what_was_begun_and_later_instalments_are_smaller(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))  # two are given
    service.refund(5_000)  # a quarter
    service.work()
    assert service.given()["refund:5000"] == -500
    service.work_until(date(5, 15), step=timedelta(days=15))  # two more, each a quarter smaller
    assert service.given() | instalments(3, 4, each=750) == service.given()
    service.refund(10_000)  # half: of four thousand, two thousand; a thousand of them was taken or withheld
    service.work()
    assert service.given()["refund:10000"] == -1000
    assert service.balance() == 2000
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 6000
    assert service.given() | instalments(5, 12, each=500) == service.given()


def test_what_polar_refuses_rests_until_it_is_replayed_and_then_goes_on(service: Years) -> None:
    service.buy()
    service.work()
    customer = service.polar.customers.pop(CUSTOMER)
    service.go_to(date(3, 1))
    service.work()
    delivery = service.delivery(2)
    assert delivery is not None
    assert (delivery.status, delivery.order_id) == (Status.FAILED, ORDER)
    service.work_until(date(4, 15), step=timedelta(days=15))
    assert service.given() == {"order": 1000}
    assert service.to_come() == {}
    service.polar.customers[CUSTOMER] = customer
    service.granter.run(Lease(deliveries=service.store.reopen([delivery.id])))
    service.work()
    assert service.given() == {"order": 1000, **instalments(2, 3)}


def test_an_instalment_that_comes_due_too_early_is_put_back_and_not_taken_at_once_again(
    service: Years,
) -> None:
    service.buy()
    service.work()
    service.go_to(date(2, 28) - timedelta(hours=2))
    service.redis.delete(keys.POLAR_CLOCK)
    service.new_worker()
    service.set_redis_clock(timedelta(hours=3))
    fresh = service.new_worker()
    fresh._instalments.move_due()
    (outcome,) = service.granter.run(service.store.lease(500))
    assert (outcome.status, outcome.reason) == (Status.WAITING, "not before 2027-02-28T12:00:00Z")
    assert service.delivery(2) is None
    assert service.standing().waits == {}
    fresh._instalments.move_due()
    assert service.to_come() == {"2 api_usage": date(2, 28)}


@pytest.mark.parametrize("jump", [timedelta(hours=20), timedelta(days=400)])  # the noted time lives for a day
def test_after_a_jump_of_redis_clock_one_look_at_polar_is_enough(service: Years, jump: timedelta) -> None:
    for number in range(20):
        service.buy(some_id(7100 + number))
    service.work()
    service.go_to(date(2, 28) - timedelta(hours=10))
    service.work()
    service.set_redis_clock(jump)
    service.worker.tick()  # it notices the step: Polar's clock is not known any more
    assert service.redis.zcard(keys.DUE) == 1
    (outcome,) = service.granter.run(service.store.lease(500))
    assert outcome.reason == "not before 2027-02-28T12:00:00Z"
    service.worker.tick()
    assert service.redis.zcard(keys.DUE) == 0
    assert service.redis.zcard(keys.INSTALMENTS) == 20
