"""Polar away for two days, or our token refused: thousands wait, nobody is blamed, all are credited after."""

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
_LOOKS = 2 * 24 * 6  # of a worker, every ten minutes: each finds the last pause over

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
def test_two_days_without_polar_park_nothing_and_all_are_credited_once_it_is_back(moods: list[Mood]) -> None:
    shop, polar = closed_shop(*moods)
    assert statuses(shop) == {Status.WAITING: _ORDERS}
    assert {one.strikes for one in shop.store.deliveries.values()} == {0}
    assert len(polar.requests) < _LOOKS + 100  # one a look, and a few to see that it is no event's fault
    shares = [len(shop.work()) for _ in range(_ORDERS // DEFAULT_TIMINGS.deliveries_per_lease + 2)]
    assert shares[0] == 1  # the probe, as small as can be after so long
    assert statuses(shop) == {Status.GRANTED: _ORDERS}
    assert len(polar.events) == _ORDERS
    assert {polar.balance(some_id(number)) for number in range(1, _ORDERS + 1, 100)} == {10}


def test_what_waited_for_two_days_is_credited_before_what_comes_after() -> None:
    """In the order of their turns: who was tried in vain stands where the others were that came then."""
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
