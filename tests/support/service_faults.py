"""Everything that may happen to a shop between two webhooks: work, replays, outages, crashes."""

from collections.abc import Callable, Mapping

from tests.support.fake_service import (
    BROKEN,
    UNREACHABLE,
    Shop,
    die,
    limited,
    work_but_before_settling,
    work_but_before_taking_back,
)
from tests.support.killed import KilledError
from workers.errors import PolarRefusedError
from workers.timings import DEFAULT_TIMINGS

Mishap = Callable[[Shop], object]


def _polar_answers(answer: BaseException) -> Mishap:
    def happen(shop: Shop) -> None:
        shop.polar.script = [answer]
        _survive(shop, shop.work)
        shop.polar.script = []

    return happen


def _survive(shop: Shop, work: Callable[[], object]) -> None:
    try:
        work()
    except KilledError:
        shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)


def _die_before_settling(shop: Shop) -> None:
    _survive(shop, lambda: work_but_before_settling(shop, die))


def _die_before_taking_back(shop: Shop) -> None:
    _survive(shop, lambda: work_but_before_taking_back(shop, die))


def _lose_an_answer(shop: Shop) -> None:
    shop.polar.loses_answers = 1
    shop.work()
    shop.polar.loses_answers = 0


def _another_does_it(shop: Shop) -> Callable[[], None]:
    def meanwhile() -> None:
        shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
        shop.work()

    return meanwhile


def _sleep_past_the_lease(shop: Shop) -> None:
    work_but_before_settling(shop, _another_does_it(shop))


def _lose_take_back_race(shop: Shop) -> None:
    """Compute take-backs while another worker claims and settles them."""
    work_but_before_taking_back(shop, _another_does_it(shop))


def _replay_all(shop: Shop) -> None:
    shop.replay(*shop.store.deliveries)


def _wait(shop: Shop) -> None:
    shop.clock.advance(7)


MISHAPS: Mapping[str, Mishap] = {
    "work": Shop.work,
    "wait": _wait,
    "replay": _replay_all,
    "killed at Polar": _polar_answers(KilledError()),
    "killed before settling": _die_before_settling,
    "killed before taking back": _die_before_taking_back,
    "overtaken": _lose_take_back_race,
    "asleep": _sleep_past_the_lease,
    "answer lost": _lose_an_answer,
    "away": _polar_answers(UNREACHABLE),
    "500": _polar_answers(BROKEN),
    "429": _polar_answers(limited(5)),
    "refused": _polar_answers(PolarRefusedError("Polar answered 422", named={0: "no"})),
}
