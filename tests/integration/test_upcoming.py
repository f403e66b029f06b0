"""What is shown of instalments to come: to the storefront, to operators, to Prometheus."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from redis.asyncio import Redis as AsyncRedis

from app.api.answers import OrderAnswer
from tests.support.moving_clock import moves_a_clock
from tests.support.sealing import seal
from tests.support.years import CUSTOMER, ORDER, Years, date, years
from workers.core.delivery import Status
from workers.core.sums import MeterSum, SummedMeter
from workers.monitoring.health import examine
from workers.monitoring.metrics import exposition
from workers.store.audit import Audit
from workers.store.orders import OrderReader
from workers.store.upcoming import UpcomingReader

pytestmark = moves_a_clock


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Years]:
    with years(tmp_path) as service:
        service.buy()
        service.work()
        yield service


def order_answer(service: Years) -> OrderAnswer:
    """Return what the API answers about the order."""

    async def read() -> OrderAnswer:
        async with AsyncRedis.from_url(service.movable.url) as redis:
            return OrderAnswer.of(ORDER, await OrderReader(redis).read(ORDER))

    return asyncio.run(read())


def instalments_due(service: Years) -> str:
    lines = exposition(service.redis).decode().splitlines()
    (line,) = [one for one in lines if one.startswith("credits_instalments_due ")]
    return line.removeprefix("credits_instalments_due ")


def instalments_check(service: Years) -> tuple[bool, str]:
    (found,) = [one for one in examine(service.redis) if one.name == "instalments"]
    return found.ok, found.detail


def test_the_storefront_sees_all_instalments_to_come_less_what_was_refunded(service: Years) -> None:
    told = order_answer(service).dump()
    assert told["upcoming"][0] == {"at": "2027-02-28T12:00:00Z", "credits": {"api_usage": 1000}}
    assert len(told["upcoming"]) == 11
    service.work_until(date(3, 1))
    service.refund(5_000)
    service.work()
    told = order_answer(service).dump()
    assert (told["status"], told["credits"], told["taken_back"]) == (
        "granted",
        {"api_usage": 2000},
        {"api_usage": 500},
    )
    assert told["upcoming"][0] == {"at": "2027-03-31T12:00:00Z", "credits": {"api_usage": 750}}
    assert len(told["upcoming"]) == 10


def test_operators_see_the_next_of_each_order_or_all_of_one(service: Years) -> None:
    reader = UpcomingReader(service.redis, service.ledger)
    (soonest,) = reader.soonest(10)
    assert (soonest.number, soonest.at) == (2, date(2, 28))
    assert soonest.grant.units == 1000
    assert len(reader.of_order(ORDER)) == len(reader.of_customer(CUSTOMER, 10)[0]) == 11
    assert reader.soonest(10)[0].grant.key == f"credits:instalment:{ORDER}:2:api_usage"


def test_what_is_due_and_not_settled_is_counted_and_told_if_it_lags(service: Years) -> None:
    assert (instalments_due(service), instalments_check(service)) == ("0.0", (True, "1 to come"))
    service.go_to(date(2, 28) + timedelta(minutes=2))
    assert (instalments_due(service), instalments_check(service)) == ("1.0", (True, "1 to come"))
    service.go_to(date(2, 28) + timedelta(minutes=10))
    is_well, detail = instalments_check(service)
    assert not is_well
    assert detail.startswith("the next should have been looked at 10 min ago: start credits work")
    service.worker.tick()
    assert (instalments_due(service), instalments_check(service)) == ("1.0", (True, "0 to come"))
    service.work()
    assert (instalments_due(service), instalments_check(service)) == ("0.0", (True, "1 to come"))


def test_what_waits_for_its_subscription_is_not_due_until_it_is_looked_at_again(service: Years) -> None:
    service.change(status="past_due")
    service.go_to(date(2, 28))
    service.work()
    assert (instalments_due(service), instalments_check(service)) == ("0.0", (True, "1 to come"))
    (next_,) = UpcomingReader(service.redis, service.ledger).soonest(1)
    assert (next_.number, next_.waits) == (2, "the subscription is past_due")
    assert [one.status for one in service.store.newest()] == [Status.GRANTED]


def test_the_instalments_that_were_given_are_summed(service: Years) -> None:
    service.work_until(date(3, 1))
    service.refund(5_000)
    service.work_until(date(5, 1))
    audit = Audit(service.redis, service.ledger)
    given = MeterSum(granted=Decimal(2 * 1000 + 2 * 750), taken_back=Decimal(500))
    assert audit.sums_of_customer(CUSTOMER) == {SummedMeter("api_usage", "units"): given}
    seal(service.redis)
    assert audit.sums_of_customer(CUSTOMER) == {SummedMeter("api_usage", "units"): given}
