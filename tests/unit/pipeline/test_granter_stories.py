"""Random events in any order: each order is credited once, by its first claim."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from config.rules import Rules
from tests.support.builders import order_webhook, rule, rules_of, some_id, webhook
from tests.support.examples import examples
from tests.support.fake_service import NOBODY, TEN, TWENTY, Shop, end_well
from tests.support.service_faults import MISHAPS, Mishap
from workers.core.claims import Claim

PACK = rule("pack", {"api_usage": 10})
BONUS = rule("bonus", {"api_usage": 500}, once_per="customer")
WELCOME = rule("welcome", {"api_usage": 3000}, triggers=["customer.created"])

ANN, BEN = some_id(21), some_id(22)
OWNERS = {1: ANN, 2: ANN, 3: BEN}
"""Whose the orders are: the first two share a customer."""


def receive(delivery_id: str, body: bytes) -> Mishap:
    return lambda shop: shop.receive(delivery_id, body)


def put_in_force(rules: Rules) -> Callable[[Shop], None]:
    def change(shop: Shop) -> None:
        shop.rules = rules

    return change


ACTIONS: Mapping[str, Mishap] = {
    **{
        f"order {number}/{copy}": receive(
            f"order-{number}-{copy}", order_webhook(id=some_id(number), customer_id=owner)
        )
        for number, owner in OWNERS.items()
        for copy in (1, 2)
    },
    **{
        f"new {name}/{copy}": receive(f"{name}-{copy}", webhook("customer_created", id=customer_id))
        for name, customer_id in (("Ann", ANN), ("Ben", BEN))
        for copy in (1, 2)
    },
    "10": put_in_force(TEN),
    "20": put_in_force(TWENTY),
    "nobody": put_in_force(NOBODY),
    "bonus": put_in_force(rules_of(PACK, BONUS, WELCOME)),
    "greater bonus": put_in_force(rules_of(BONUS.replace("500", "700"))),
    **MISHAPS,
}


def units(claim: Claim) -> Decimal:
    return sum((grant.units for grant in claim.grants), Decimal(0))


@settings(max_examples=examples(300))
@given(st.lists(st.sampled_from(sorted(ACTIONS)), max_size=25))
def test_whatever_happens_everything_is_credited_once_with_what_was_claimed_first(story: list[str]) -> None:
    shop = Shop(TEN)
    claimed: dict[str, Decimal] = {}
    for action in story:
        ACTIONS[action](shop)
        for subject, claim in shop.store.claims.items():
            assert claimed.setdefault(subject, units(claim)) == units(claim)
    end_well(shop)
    assert claimed.items() <= {subject: units(claim) for subject, claim in shop.store.claims.items()}.items()
    for customer_id in (ANN, BEN):
        assert shop.polar.balance(customer_id) == frozen_for(shop, customer_id)


@settings(max_examples=examples(200))
@given(st.lists(st.sampled_from(sorted(ACTIONS)), max_size=25))
def test_whatever_happens_a_customer_has_at_most_one_bonus_and_one_welcome(story: list[str]) -> None:
    shop = Shop(rules_of(PACK, BONUS, WELCOME))
    for action in story:
        ACTIONS[action](shop)
    end_well(shop)
    for customer_id in (ANN, BEN):
        given_ = sorted(
            -event["metadata"]["units"]
            for event in shop.polar.events.values()
            if event["customer_id"] == customer_id and event["metadata"]["rules"] != "pack"
        )
        assert given_ in ([], [500], [700], [3000], [500, 3000], [700, 3000])


def frozen_for(shop: Shop, customer_id: str) -> Decimal:
    """Return a customer's claimed grants by content, not by key."""
    grants = [grant for claim in shop.store.claims.values() for grant in claim.grants]
    return sum((grant.units for grant in grants if grant.customer_id == customer_id), Decimal(0))
