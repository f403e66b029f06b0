"""After any refunds, disputes, adjustments and faults an order has what its rule says, less its share."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.rules import Rules
from tests.support.adjusting import adjust, ask, standing_in
from tests.support.builders import (
    CUSTOMER,
    PAID_CENTS,
    dispute_webhook,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
)
from tests.support.examples import examples
from tests.support.fake_service import Shop, end_well, shop_with
from tests.support.service_faults import MISHAPS
from workers.core.adjusted import credited, taken_back
from workers.core.grants import is_correction

pytestmark = pytest.mark.property

GIFT = 7
WHOLE = st.integers(0, 1000).map(Decimal)
FRACTIONS = st.decimals(min_value=0, max_value=1000, places=3)
SHARES = st.integers(0, PAID_CENTS)


def rules(units: Decimal) -> Rules:
    """Return rules that give the order so much, or nothing, beside a gift that stays."""
    policies = {"on_refund": "revoke", "on_dispute": "revoke"}
    products = {} if units else {"products": [some_id(99)]}
    pack = rule("pack", {"api_usage": units or 1}, **policies, **products)
    return rules_of(pack, rule("gift", {"api_usage": GIFT}))


def happenings(units: st.SearchStrategy[Decimal]) -> st.SearchStrategy[tuple[str, object]]:
    """Return what may happen: refunds in total, disputes with a number, adjustments, and every fault."""
    return st.one_of(
        st.tuples(st.just("refund"), SHARES),
        st.tuples(st.just("dispute"), st.tuples(st.integers(1, 2), SHARES)),
        st.tuples(st.just("adjust"), units),
        st.tuples(st.just("adjust"), units),
        st.tuples(st.sampled_from(sorted(MISHAPS)), st.none()),
        st.tuples(st.just("work"), st.none()),
    )


class Story:
    """The order, what went back of its price, and what happens next."""

    def __init__(self, units: Decimal) -> None:
        self.shop = shop_with(order_webhook(), rules=rules(units))
        self.refunded = 0
        self.disputed: dict[int, int] = {}

    def happen(self, what: str, how: object) -> None:
        """Let one thing happen."""
        next_id = f"msg-{len(self.shop.store.deliveries) + 1}"
        match what, how:
            case "refund", int(cents):
                self.refunded = max(self.refunded, cents)
                self.shop.receive(next_id, refund_webhook(cents))
            case "dispute", (int(number), int(cents)):
                amount = self.disputed.setdefault(number, cents)
                self.shop.receive(f"dispute-{number}", dispute_webhook(number, amount))
            case "adjust", Decimal() as units:
                self.shop.rules = rules(units)
                ask(self.shop)
            case _:
                MISHAPS[what](self.shop)

    @property
    def share(self) -> Fraction:
        """Return the share of the price that went back."""
        return min(Fraction(1), Fraction(self.refunded + sum(self.disputed.values()), PAID_CENTS))


def check_always(shop: Shop) -> None:
    """Check what holds at any moment: no debt, nothing sent twice or otherwise than before."""
    assert shop.polar.balance(CUSTOMER) >= 0
    sent: dict[str, object] = {}
    for request in shop.polar.requests:
        for event in request:
            assert sent.setdefault(event["external_id"], event) == event


def check_whole(shop: Shop) -> None:
    """Check that whole credits stay whole, in each event."""
    for event in shop.polar.events.values():
        assert isinstance(event["metadata"]["units"], int)


def end(story: Story, units: Decimal) -> None:
    """Let every fault end, and adjust the order a last time."""
    end_well(story.shop)
    story.shop.rules = rules(units)
    adjust(story.shop)
    end_well(story.shop)


@settings(max_examples=examples(400))
@given(WHOLE, st.lists(happenings(WHOLE), max_size=14), WHOLE)
def test_whole_credits_end_exactly_at_their_target(
    first: Decimal, happens: list[tuple[str, object]], last: Decimal
) -> None:
    story = Story(first)
    shop = story.shop
    for what, how in happens:
        story.happen(what, how)
        check_always(shop)
    end(story, last)
    check_always(shop)
    check_whole(shop)
    taken = (last * story.share.numerator) // story.share.denominator
    assert shop.polar.balance(CUSTOMER) == last - taken + GIFT
    before = len(shop.polar.events)
    adjust(shop)
    assert len(shop.polar.events) == before


@settings(max_examples=examples(300))
@given(FRACTIONS, st.lists(happenings(FRACTIONS), max_size=14), FRACTIONS)
def test_fractions_end_at_their_target_to_a_millionth(
    first: Decimal, happens: list[tuple[str, object]], last: Decimal
) -> None:
    story = Story(first)
    for what, how in happens:
        story.happen(what, how)
        check_always(story.shop)
    end(story, last)
    left = Fraction(last) * (1 - story.share) + GIFT
    step = 1 if last % 1 == 0 else Fraction(1, 10**6)
    assert 0 <= Fraction(story.shop.polar.balance(CUSTOMER)) - left < step


@settings(max_examples=examples(200))
@given(WHOLE, st.lists(happenings(WHOLE), max_size=14))
def test_without_a_last_adjustment_the_ledger_says_what_polar_has(
    first: Decimal, happens: list[tuple[str, object]]
) -> None:
    """And refunds have taken their share of the amount that the last adjustment brought the order to."""
    story = Story(first)
    for what, how in happens:
        story.happen(what, how)
    end_well(story.shop)
    standing = standing_in(story.shop)
    (now,) = credited(standing)
    taken = taken_back(standing).get("api_usage", {})
    balance = story.shop.polar.balance(CUSTOMER)
    assert balance == now.units - sum(taken.values())
    packs = {part.rule: part.units for part in now.parts}
    left = packs.get("pack", Decimal(0)) - taken.get("pack", Decimal(0))
    due = Fraction(packs.get("pack", Decimal(0))) * (1 - story.share)
    assert balance == left + GIFT
    assert 0 <= Fraction(left) - due < 1
    assert all(claim.delivery_id.startswith("adjust-") for claim in standing.adjustments)
    assert not any(one.unsettled for one in standing.claims if is_correction(one.subject))
