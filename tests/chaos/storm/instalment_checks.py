"""Checks the instalments of a storm at Polar and in Redis: each that is due once, none early, none more."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import cast

from redis import Redis

from app.demo.polar import Polar
from tests.chaos.storm.expected_credits import credit_in
from tests.chaos.storm.paid_plans import PaidPlan, key_of, share_of
from tests.chaos.world import SentWebhook
from tests.support.fake_polar import Event
from workers.store import keys


@dataclass(frozen=True, kw_only=True)
class InstalmentChecks:
    """The orders of plans that were stored, and what became of them."""

    plans: Mapping[str, PaidPlan]
    sent: Sequence[SentWebhook]
    polar: Polar
    redis: Redis
    unsent: Set[str] = frozenset()
    """The keys of first instalments that are not to be expected, and so no later ones on their meters."""
    has_lost: bool = False
    """Whether Redis has lost entries: then it may know of fewer refunds, and takes back less, never more."""

    def find_errors(self) -> Iterator[str]:
        """Yield every error in words."""
        yield from self._early()
        for plan in self._paid():
            for meter in self._meters(plan):
                yield from self._chain(plan, meter)
                yield from self._amount(plan, meter)
        yield from self._to_come()

    def delivery_ids(self) -> Iterator[str]:
        """Yield the ids of the deliveries that instalments may have had."""
        for plan in self.plans.values():
            numbers = range(2, len(plan.dates()) + 1)
            yield from (f"instalment-{plan.order_id}-{n}-{meter}" for n in numbers for meter in plan.meters)

    def nets(self) -> Iterator[tuple[str, str, Decimal]]:
        """Yield by customer and meter what Polar has of each plan."""
        for plan in self._paid():
            yield from ((plan.customer_id, meter, self._net(plan, meter)) for meter in plan.meters)

    def _net(self, plan: PaidPlan, meter: str) -> Decimal:
        """Return what Polar has of an order on a meter, less what was taken back."""
        return sum(
            (credit_in(event)[2] for event in self.polar.events if _is_of(event, plan.order_id, meter)),
            Decimal(0),
        )

    def _paid(self) -> list[PaidPlan]:
        paid = {one.order_id for one in self.sent if one.trigger}
        return [plan for plan in self.plans.values() if plan.order_id in paid]

    def _meters(self, plan: PaidPlan) -> list[str]:
        return [meter for meter in plan.meters if key_of(plan.order_id, 1, meter) not in self.unsent]

    def _numbers(self, plan: PaidPlan, meter: str) -> list[int]:
        dates = plan.dates()
        found = {str(event["external_id"]) for event in self.polar.events}
        return [
            number for number in range(1, len(dates) + 1) if key_of(plan.order_id, number, meter) in found
        ]

    def _of(self, plan: PaidPlan) -> list[SentWebhook]:
        return [one for one in self.sent if one.order_id == plan.order_id]

    def _may_end(self, plan: PaidPlan) -> bool:
        """Return whether a full refund or a lost dispute may have ended it after any instalment."""
        those = self._of(plan)
        return share_of(those) == 1 or any(one.dispute_id for one in those)

    def _chain(self, plan: PaidPlan, meter: str) -> Iterator[str]:
        numbers, due = self._numbers(plan, meter), plan.due()
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{meter} of {plan.order_id} has the instalments {numbers}"
        if len(numbers) > due or (len(numbers) < due and not self._may_end(plan)):
            yield f"{meter} of {plan} has {len(numbers)} instalments, and {due} are due"

    def _amount(self, plan: PaidPlan, meter: str) -> Iterator[str]:
        number, share = len(self._numbers(plan, meter)), share_of(self._of(plan))
        found, expected = self._net(plan, meter), plan.left(meter, number, share)
        whole = plan.left(meter, number, Fraction(0))
        if not (expected <= found <= whole if self.has_lost else found == expected):
            yield f"{number} instalments of {meter} leave {found} to {plan.order_id}, not {expected}"

    def _early(self) -> Iterator[str]:
        dates = {
            key_of(plan.order_id, number, meter): at
            for plan in self.plans.values()
            for meter in plan.meters
            for number, at in enumerate(plan.dates(), 1)
        }
        for one in self.polar.stored:
            key = str(one.sent["external_id"])
            if key in dates and one.timestamp < dates[key]:
                yield f"{key} came at {one.timestamp}, before {dates[key]}"
            if key.startswith("credits:instalment:") and key not in dates:
                yield f"{key} is none of its plan's instalments"

    def _to_come(self) -> Iterator[str]:
        """Check that of each order and meter only the instalment after the last one is to come, if any."""
        members = cast(list[bytes], self.redis.zrange(keys.INSTALMENTS, 0, -1))
        found = {member.decode() for member in members}
        known = set[str]()
        for plan in self._paid():
            for meter in self._meters(plan):
                following = f"{plan.order_id} {len(self._numbers(plan, meter)) + 1} {meter}"
                known.add(following)
                has_ended = self._may_end(plan) or plan.status == "canceled"
                if following not in found and not has_ended:
                    yield f"{following} is not to come"
        yield from (f"{member} is to come, and should not" for member in sorted(found - known))


def _is_of(event: Event, order_id: str, meter: str) -> bool:
    return bool(event["name"] == meter and event["metadata"].get("order_id") == order_id)
