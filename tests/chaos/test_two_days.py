"""Polar is away or refuses our token for two days: thousands wait, none fails, all are credited."""

from collections import Counter
from datetime import timedelta
from itertools import cycle, islice

import pytest

from tests.chaos.polar import Mood, MoodyPolar
from tests.support.builders import order_webhook, some_id
from tests.support.fake_service import TEN, Shop
from workers.core.delivery import Status
from workers.timings import DEFAULT_TIMINGS

_ORDERS = 2_000
_TWO_DAYS = timedelta(days=2)
_LOOKS = 2 * 24 * 6  # a worker works every ten minutes, when the last pause is over

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("quiet")]


def order(number: int) -> bytes:
    return order_webhook(id=some_id(number), customer_id=some_id(number))


def closed_shop(*moods: Mood) -> tuple[Shop, MoodyPolar]:
    """Return a shop after two days of orders in which Polar was in these moods in turn."""
    shop, polar = Shop(TEN), MoodyPolar()
    shop.polar = polar
    numbers = iter(range(1, _ORDERS + 1))
    for look, mood in enumerate(islice(cycle(moods), _LOOKS), 1):
        for number in islice(numbers, look * _ORDERS // _LOOKS - len(shop.store.deliveries)):
            shop.receive(f"msg-{number}", order(number))
        polar.mood = mood
        shop.work()
        shop.clock.advance(_TWO_DAYS.total_seconds() / _LOOKS)
    polar.heal()
    return shop, polar


def statuses(shop: Shop) -> Counter[Status]:
    return Counter(one.status for one in shop.store.deliveries.values())


@pytest.mark.parametrize(
    "moods",
    [
        [Mood.AWAY],
        [Mood.DENIED],
        [Mood.BROKEN],
        [Mood.AWAY, Mood.BROKEN, Mood.LIMITED, Mood.DENIED, Mood.SILENT],
    ],
    ids=["away", "token revoked and replaced", "500s", "one after the other"],
)
def test_two_days_without_polar_fail_no_delivery_and_all_are_credited_then(
    moods: list[Mood],
) -> None:
    shop, polar = closed_shop(*moods)
    assert statuses(shop) == {Status.WAITING: _ORDERS}
    assert {one.strikes for one in shop.store.deliveries.values()} == {0}
    assert len(polar.requests) < _LOOKS + 100  # one at a time, and a few to rule out an event at fault
    shares = [len(shop.work()) for _ in range(_ORDERS // DEFAULT_TIMINGS.deliveries_per_lease + 2)]
    assert shares[0] == 1  # the probe, which is smallest after a long outage
    assert statuses(shop) == {Status.GRANTED: _ORDERS}
    assert len(polar.events) == _ORDERS
    assert {polar.balance(some_id(number)) for number in range(1, _ORDERS + 1, 100)} == {10}


def test_what_waited_for_two_days_is_credited_before_what_comes_after() -> None:
    """Deliveries are leased in the order in which they are due, which a failed attempt moves."""
    shop, _ = closed_shop(Mood.AWAY)
    late = {f"late-{number}" for number in range(10)}
    for number, delivery_id in enumerate(sorted(late)):
        shop.receive(delivery_id, order(_ORDERS + number + 1))
    turns = sorted((one.due, id_) for id_, one in shop.store.deliveries.items() if one.due)
    served: list[str] = []
    while late.isdisjoint(served):
        served += shop.work()
    assert served == [id_ for _, id_ in turns[: len(served)]]
    assert late.isdisjoint(served[:_ORDERS])
