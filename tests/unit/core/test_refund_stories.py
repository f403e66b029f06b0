"""After any refunds of an order, in any sequence and with any fault, exactly their share is taken back.

What the balance must be is worked out from what came and what the rules were, not from how it is done.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from config.rules import Rules
from tests.support.builders import CUSTOMER, ORDER, order_webhook, refund_webhook, rule, rules_of
from tests.support.examples import examples
from tests.support.fake_service import NOBODY, Shop, end_well
from tests.support.service_faults import MISHAPS
from workers.core.grants import order_subject

METER = "api_usage"


@dataclass(frozen=True, kw_only=True)
class Give:
    """One rule for the order: its amount, and whether a refund takes it back."""

    units: Decimal
    revokes: bool


@dataclass(frozen=True, kw_only=True)
class Sale:
    """The price in cents, and the rules at the time of the sale."""

    cents: int
    gives: tuple[Give, ...]

    def rules(self, *, name: str = "rule", but: Callable[[bool], bool] = bool) -> Rules:
        """Return these rules with other names or other refund policies."""
        lines = []
        for number, one in enumerate(self.gives):
            policy = "revoke" if but(one.revokes) else "keep"
            lines.append(rule(f"{name}-{number}", {METER: f"{one.units:f}"}, on_refund=policy))
        return rules_of(*lines)

    @property
    def paid(self) -> bytes:
        """Return the order's webhook."""
        return order_webhook(net_amount=self.cents)

    def refund(self, cents: int) -> bytes:
        """Return the webhook of a refund; ``cents`` is the total of all refunds."""
        return refund_webhook(
            cents, net_amount=self.cents, status="refunded" if cents >= self.cents else "partially_refunded"
        )

    def refunded(self, thousandths: int) -> int:
        """Return the total refunded, in cents."""
        return max(self.cents, 1) * thousandths // 1000

    def share(self, cents: int) -> Fraction:
        """Return the share of the price that refunds of ``cents`` in total give back."""
        return Fraction(1) if cents >= self.cents else Fraction(cents, self.cents)


def plain_units(most: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.integers(1, most).map(lambda number: Decimal(number).scaleb(-places))


@st.composite
def gives(draw: st.DrawFn) -> tuple[Give, ...]:
    """Draw rules that come to no more than 15 digits; one alone may have all of them, and 12 places.

    Some add up to a round number, from which the last digits of each have gone.
    """
    places = draw(st.integers(0, 12))
    count = draw(st.integers(1, 4))
    # Twelve digits before the point, fifteen in all.
    most = min(10**15, 10 ** (12 + places)) - 1
    units = draw(st.lists(plain_units(most // count, places), min_size=count, max_size=count))
    policies = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    if count > 1 and draw(st.booleans()):
        units[-1] = Decimal(most + 1).scaleb(-places) - sum(units[:-1])
        policies = [True] * count
    return tuple(Give(units=one, revokes=policy) for one, policy in zip(units, policies, strict=True))


@st.composite
def sales(draw: st.DrawFn) -> Sale:
    """Draw a sale at a positive, zero or negative price."""
    cents = draw(st.integers(1, 10**6) | st.integers(-5, 3))
    return Sale(cents=cents, gives=draw(gives()))


CHANGES: Mapping[str, Callable[[Sale], Rules]] = {
    "rules renamed": lambda sale: sale.rules(name="other"),
    "rules gone": lambda _: NOBODY,
    "policies flipped": lambda sale: sale.rules(but=lambda revokes: not revokes),
    "rules back": Sale.rules,
}
"""The changes of the rules that can happen at any time."""


@st.composite
def stories(draw: st.DrawFn) -> list[str | int]:
    """Draw what happens. A number is a refund: the total so far in thousandths of the price."""
    refunds = st.integers(0, draw(st.sampled_from([999, 1000, 1200])))
    happens = refunds | refunds | st.just("work") | st.sampled_from(["paid", *CHANGES, *MISHAPS])
    story: list[str | int] = draw(st.lists(happens, max_size=14))
    # Most stories include the order: without it there is nothing to take back.
    place = draw(st.integers(0, len(story)))
    return story if draw(st.integers(0, 9)) == 9 else [*story[:place], "paid", *story[place:]]


def events_of(shop: Shop, kind: str) -> Iterator[Decimal]:
    """Yield the credits of all events of one kind at Polar."""
    for key, event in shop.polar.events.items():
        if key.startswith(f"credits:{kind}:"):
            yield -Decimal(str(event["metadata"]["units"]))


@settings(max_examples=examples(400))
@given(sales(), stories())
def test_after_any_story_exactly_the_refunded_share_has_gone_back(sale: Sale, story: list[str | int]) -> None:
    shop = Shop(sale.rules())
    frozen: Rules | None = None
    taken = Decimal(0)
    for action in [*story, None]:
        end_well(shop) if action is None else happen(shop, sale, action)
        if frozen is None and order_subject(ORDER) in shop.store.claims:
            frozen = shop.rules
        before, taken = taken, -sum(events_of(shop, "refund"), Decimal(0))
        assert taken >= before
        assert shop.polar.balance(CUSTOMER) >= 0  # no take-back comes to Polar before its grant
    revocable, kept = frozen_sums(frozen)
    assert sum(events_of(shop, "order"), Decimal(0)) == revocable + kept
    assert shop.polar.balance(CUSTOMER) == revocable + kept - taken
    told = [sale.refunded(action) for action in story if isinstance(action, int)]
    assert_share_taken(sale, told, revocable, taken)
    assert_numbers_are_exact(shop)


def happen(shop: Shop, sale: Sale, action: str | int) -> None:
    next_id = f"msg-{len(shop.store.deliveries)}"
    if isinstance(action, int):
        shop.receive(next_id, sale.refund(sale.refunded(action)))
    elif action == "paid":
        shop.receive(next_id, sale.paid)
    elif action in CHANGES:
        shop.rules = CHANGES[action](sale)
    else:
        MISHAPS[action](shop)


def frozen_sums(rules: Rules | None) -> tuple[Decimal, Decimal]:
    """Return the revocable and the irrevocable credits that these rules grant."""
    units = {True: Decimal(0), False: Decimal(0)}
    for one in rules.rules if rules else ():
        amount = one.grant[METER]
        assert isinstance(amount, Decimal)
        units[one.revokes] += amount
    return units[True], units[False]


def assert_share_taken(sale: Sale, told: list[int], revocable: Decimal, taken: Decimal) -> None:
    """Check the total taken. Each rule may be rounded down to whole credits, if it gave whole ones.

    Fractions may be rounded down to a millionth, or to the last of 15 digits.
    """
    refunded = [cents for cents in told if cents or cents >= sale.cents]
    if not refunded:
        assert taken == 0
        return
    share = sale.share(max(refunded))
    units = [one.units for one in sale.gives]
    finest = max(Fraction(1, 10**6), Fraction(10) ** (sum(units, Decimal(0)).adjusted() - 14))
    step = Fraction(1) if all(one % 1 == 0 for one in units) else finest
    short = Fraction(revocable) * share - Fraction(taken)
    assert 0 <= short <= step * len(sale.gives)
    if share == 1:
        assert taken == revocable


def assert_numbers_are_exact(shop: Shop) -> None:
    """Check that Polar reads exact numbers: at most fifteen digits, which a double keeps."""
    for claim in shop.store.claims.values():
        for one in claim.grants:
            sent = shop.polar.events[one.key]["metadata"]["units"]
            assert Decimal(repr(float(sent))) == -one.units
            assert len(one.units.normalize().as_tuple().digits) <= 15
