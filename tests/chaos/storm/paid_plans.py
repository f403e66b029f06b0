"""The yearly plans of a storm, which are credited each month or week: when, and what is left of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

from tests.chaos.world import CENTS, RuleSpec, SentWebhook
from tests.support.builders import some_id
from tests.support.dates import months_after, repeated
from tests.support.paid_periods import paid_for, subscription_in

# Any share of the price is a whole number of these credits, and each chain is short enough for a short storm.
MONTHLY = RuleSpec(
    name="monthly",
    gives={"api_usage": "9000", "images": "1800"},
    triggers=("subscription_create",),
    products=(some_id(51),),
    every="month",
    revokes=True,
    revokes_disputed=True,
)
WEEKLY = RuleSpec(
    name="weekly",
    gives={"seconds": "18000"},
    triggers=("subscription_create",),
    products=(some_id(52),),
    every="week",
    revokes=True,
    revokes_disputed=True,
)
_MOST_DAYS_AGO = {"month": 120, "week": 25}
_STATES = ["active"] * 6 + ["past_due", "canceled"]
_CALM = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class PaidPlan:
    """An order that has paid a year of a subscription, which is in one state for the whole storm."""

    order_id: str
    customer_id: str
    subscription_id: str
    rule: RuleSpec
    begins: datetime
    status: str
    ended_by: datetime = field(repr=False)
    """When the storm is over; no instalment comes due soon after that."""

    @property
    def meters(self) -> list[str]:
        """Return the meters on which it is credited."""
        return list(self.rule.gives)

    def body(self, **data: Any) -> bytes:
        """Return the webhook of its order, with other fields."""
        return paid_for(
            self.begins,
            months_after(self.begins, 12),
            subscription_id=self.subscription_id,
            id=self.order_id,
            customer_id=self.customer_id,
            product_id=self.rule.products[0],
            net_amount=CENTS,
            **data,
        )

    def subscription(self) -> dict[str, Any]:
        """Return the subscription as Polar shows it."""
        ended_at = self.begins.isoformat() if self.status == "canceled" else None
        return subscription_in(self.body()) | {"status": self.status, "ended_at": ended_at}

    def dates(self) -> list[datetime]:
        """Return the dates of all its instalments, the first included."""
        return list(repeated(self.rule.every, self.begins, months_after(self.begins, 12)))

    def due(self) -> int:
        """Return how many instalments are due when the storm is over, if nothing ends them."""
        return sum(at <= self.ended_by for at in self.dates()) if self.status == "active" else 1

    def left(self, meter: str, number: int, share: Fraction) -> Decimal:
        """Return what so many instalments leave if this share of the price went back."""
        left = Fraction(self.rule.gives[meter]) * number * (1 - share)
        assert left.denominator == 1
        return Decimal(left.numerator)


def key_of(order_id: str, number: int, meter: str) -> str:
    """Return the key of an instalment."""
    if number == 1:
        return f"credits:order:{order_id}:{meter}"
    return f"credits:instalment:{order_id}:{number}:{meter}"


def plan_paid_plan(rng: Random, ids: tuple[str, str, str], began: datetime, seconds: float) -> PaidPlan:
    """Plan an order, a customer and a subscription; some of its instalments come due during the storm."""
    rule, status = rng.choice([MONTHLY, WEEKLY]), rng.choice(_STATES)
    over = began + timedelta(seconds=seconds)
    while True:
        days = rng.randrange(_MOST_DAYS_AGO[rule.every])
        in_storm = rng.random() < 1 / 2
        at = began + timedelta(seconds=rng.uniform(*(0, seconds) if in_storm else (-86_400, 86_400)))
        number = days // (30 if rule.every == "month" else 7)
        begins = months_after(at, -number) if rule.every == "month" else at - timedelta(weeks=number)
        plan = PaidPlan(
            order_id=ids[0],
            customer_id=ids[1],
            subscription_id=ids[2],
            rule=rule,
            begins=begins,
            status=status,
            ended_by=over,
        )
        # An order is of the past, and no date may fall into the time when the test waits for the end.
        if begins < began and not any(over < one < over + _CALM for one in plan.dates()):
            return plan


def share_of(sent: list[SentWebhook]) -> Fraction:
    """Return the share of an order's price that went back, by these webhooks of it."""
    refunded = max((one.share for one in sent), default=Fraction(0))
    disputed = sum((one.disputed_share for one in sent), Fraction(0))
    return min(Fraction(1), refunded + disputed)
