"""What may befall a shop between two webhooks: work, waiting, replays, outages and deaths."""

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
from tests.support.fakes import KilledError
from workers.errors import PolarRefusedError
from workers.timings import DEFAULT_TIMINGS

Mishap = Callable[[Shop], object]


def _polar_meets(answer: BaseException) -> Mishap:
    def meet(shop: Shop) -> None:
        shop.polar.script = [answer]
        _survive(shop, shop.work)
        shop.polar.script = []

    return meet


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


def _be_overtaken(shop: Shop) -> None:
    """Work out what refunds take back, while another does all of it."""
    work_but_before_taking_back(shop, _another_does_it(shop))


def _replay_all(shop: Shop) -> None:
    shop.replay(*shop.store.deliveries)


def _wait(shop: Shop) -> None:
    shop.clock.advance(7)


MISHAPS: Mapping[str, Mishap] = {
    "work": Shop.work,
    "wait": _wait,
    "replay": _replay_all,
    "killed at Polar": _polar_meets(KilledError()),
    "killed before settling": _die_before_settling,
    "killed before taking back": _die_before_taking_back,
    "overtaken": _be_overtaken,
    "asleep": _sleep_past_the_lease,
    "answer lost": _lose_an_answer,
    "away": _polar_meets(UNREACHABLE),
    "500": _polar_meets(BROKEN),
    "429": _polar_meets(limited(5)),
    "refused": _polar_meets(PolarRefusedError("Polar answered 422", named={0: "no"})),
}
