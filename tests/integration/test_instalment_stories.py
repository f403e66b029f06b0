"""A yearly plan that credits each month, by several rules, though workers die and clocks are wrong."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import rule, rules_of
from tests.support.killed import KilledError
from tests.support.moving_clock import DAY, HOUR, moves_a_clock
from tests.support.real_stores import RETAIN, let_leases_end
from tests.support.years import REVOKED, TRIGGERS, Years, date, instalments, shifted, years
from workers.store.ledger import Ledger

pytestmark = [*moves_a_clock, pytest.mark.heavy]  # in each test months pass, on a server of its own


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Years]:
    with years(tmp_path) as service:
        yield service


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
