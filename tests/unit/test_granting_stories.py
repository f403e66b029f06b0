"""Anything, in any order: each order is credited once, with what was claimed for it first."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from config.rules import Rules
from tests.builders import order_webhook, some_id
from tests.fakes import KilledError
from tests.shops import (
    BROKEN,
    NOBODY,
    TEN,
    TWENTY,
    UNREACHABLE,
    Shop,
    crash,
    die,
    end_well,
    limited,
    work_but_before_settling,
)
from workers.deliveries import LEASE_SECONDS
from workers.errors import PolarRefusedError


def receive(number: int, copy: int) -> Callable[[Shop], None]:
    body = order_webhook(id=some_id(number), customer_id=some_id(number))
    return lambda shop: shop.receive(f"msg-{number}-{copy}", body)


def put_in_force(rules: Rules) -> Callable[[Shop], None]:
    def change(shop: Shop) -> None:
        shop.rules = rules

    return change


def polar_meets(answer: BaseException) -> Callable[[Shop], None]:
    def meet(shop: Shop) -> None:
        shop.polar.script = [answer]
        try:
            shop.work()
        except KilledError:
            shop.clock.advance(LEASE_SECONDS)
        shop.polar.script = []

    return meet


def lose_an_answer(shop: Shop) -> None:
    shop.polar.loses_answers = 1
    shop.work()
    shop.polar.loses_answers = 0


def die_before_settling(shop: Shop) -> None:
    crash(shop, lambda: work_but_before_settling(shop, die))


def sleep_past_the_lease(shop: Shop) -> None:
    def meanwhile() -> None:
        shop.clock.advance(LEASE_SECONDS)
        shop.work()

    work_but_before_settling(shop, meanwhile)


def replay_all(shop: Shop) -> None:
    shop.replay(*shop.store.deliveries)


def wait(shop: Shop) -> None:
    shop.clock.advance(7)


ACTIONS: Mapping[str, Callable[[Shop], object]] = {
    **{f"receive {number}/{copy}": receive(number, copy) for number in (1, 2, 3) for copy in (1, 2)},
    "work": Shop.work,
    "wait": wait,
    "10": put_in_force(TEN),
    "20": put_in_force(TWENTY),
    "nobody": put_in_force(NOBODY),
    "killed at Polar": polar_meets(KilledError()),
    "killed before settling": die_before_settling,
    "away": polar_meets(UNREACHABLE),
    "500": polar_meets(BROKEN),
    "429": polar_meets(limited(5)),
    "refused": polar_meets(PolarRefusedError("Polar answered 422", named={0: "no"})),
    "answer lost": lose_an_answer,
    "asleep": sleep_past_the_lease,
    "replay": replay_all,
}


@settings(max_examples=300)
@given(st.lists(st.sampled_from(sorted(ACTIONS)), max_size=25))
def test_whatever_happens_an_order_is_credited_once_with_what_was_claimed_first(story: list[str]) -> None:
    shop = Shop(TEN)
    claimed: dict[str, Decimal] = {}
    for action in story:
        ACTIONS[action](shop)
        for subject, claim in shop.store.claims.items():
            units = sum((grant.units for grant in claim.grants), Decimal(0))
            assert claimed.setdefault(subject, units) == units
    end_well(shop)
    for number in (1, 2, 3):
        frozen = claimed_by(shop, number)
        assert shop.polar.balance(some_id(number)) == frozen
        assert claimed.get(f"credits:order:{some_id(number)}", frozen) == frozen


def claimed_by(shop: Shop, number: int) -> Decimal:
    claim = shop.store.claims.get(f"credits:order:{some_id(number)}")
    return sum((grant.units for grant in claim.grants), Decimal(0)) if claim else Decimal(0)
