"""What hypothesis draws: orders that are known for what they are, rules, grants."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from config.rules import Rules, Trigger
from tests.builders import METERS, grant_of, rule, rules_of, some_id
from workers.events import Order, Subscription
from workers.grants import Grant

PRODUCTS = [some_id(number) for number in range(100, 104)]
CREATED = datetime(2026, 11, 21, tzinfo=UTC)

amounts = st.one_of(
    st.integers(1, 10**6).map(Decimal),
    st.decimals("0.000001", "999999", places=6, allow_nan=False),
)
"""Credits as a rules file may name them; a handful of them add up to less than 15 digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownOrder:
    """An order, and what it is to the rules: None for what none can name."""

    order: Order
    trigger: Trigger | None


@st.composite
def orders(draw: st.DrawFn) -> KnownOrder:
    """Draw an order of any kind; its subscription's times are made to fit."""
    trigger = draw(st.sampled_from(Trigger))
    reason = "subscription_create" if trigger is Trigger.TRIAL_START else trigger.value
    ended_at, trial = None, None
    if trigger is Trigger.TRIAL_START:
        trial = (_before(draw), CREATED + _span(draw, at_least=1))
    elif trigger is not Trigger.PURCHASE and draw(st.booleans()):
        trial = (_before(draw) - timedelta(days=400), _before(draw))  # converted since
    is_final = trigger is Trigger.SUBSCRIPTION_CYCLE and draw(st.booleans())
    if is_final:
        ended_at = _before(draw)
    elif trigger is not Trigger.PURCHASE and draw(st.booleans()):
        ended_at = CREATED + _span(draw, at_least=1)  # cancelled since
    is_foreign = not is_final and trigger is not Trigger.TRIAL_START and draw(st.booleans())
    subscription = Subscription(
        id=some_id(1),
        ended_at=ended_at,
        trial_start=trial[0] if trial else None,
        trial_end=trial[1] if trial else None,
    )
    order = Order(
        id=str(draw(st.uuids())),
        created_at=CREATED,
        billing_reason="a_reason_of_next_year" if is_foreign else reason,
        customer_id=str(draw(st.uuids())),
        product_id=draw(st.none() | st.sampled_from(PRODUCTS)),
        subscription=None if trigger is Trigger.PURCHASE else subscription,
    )
    return KnownOrder(order=order, trigger=None if is_final or is_foreign else trigger)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnRule:
    """A rule before it is written into a file."""

    name: str
    products: list[str] | None
    triggers: list[Trigger]
    grant: dict[str, Decimal]


def rule_sets() -> st.SearchStrategy[list[DrawnRule]]:
    """Draw up to six rules with names of their own."""
    one = st.builds(
        DrawnRule,
        name=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
        products=st.none() | st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=3, unique=True),
        triggers=st.lists(st.sampled_from(Trigger), min_size=1, unique=True),
        grant=st.dictionaries(st.sampled_from(list(METERS)), amounts, min_size=1),
    )
    return st.lists(one, max_size=6, unique_by=lambda drawn: drawn.name)


def written(drawn: list[DrawnRule]) -> Rules:
    """Return the rules as a file with ``drawn``, in this order, would give them."""
    lines = []
    for one in drawn:
        others = {"products": one.products} if one.products else {}
        lines.append(rule(one.name, one.grant, triggers=[str(each) for each in one.triggers], **others))
    return rules_of(*lines)


def grants(most: int) -> st.SearchStrategy[list[Grant]]:
    """Draw up to ``most`` grants of orders and customers of their own, in any order."""
    numbers = st.lists(st.integers(1, 10_000), min_size=1, max_size=most, unique=True)
    return numbers.map(lambda those: [grant_of(n, n, customer_id=some_id(n)) for n in those])


def _before(draw: st.DrawFn) -> datetime:
    return CREATED - _span(draw, at_least=0)


def _span(draw: st.DrawFn, *, at_least: int) -> timedelta:
    return timedelta(microseconds=draw(st.integers(at_least, 10**13)))
