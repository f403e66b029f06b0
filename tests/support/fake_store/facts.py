"""What the ledger in memory has of each fact: its claims, and what has become of it."""

import json
from datetime import datetime

from tests.support.fake_clock import Clock
from tests.support.fake_store.deliveries import FakeDeliveries
from workers.core.claims import Claim, Dispute, Refund, Shown, Standing, Taken
from workers.core.grants import REVOKE, is_take_back, order_of, order_subject
from workers.core.plans import Plan
from workers.core.schedule import PaidPeriod
from workers.core.take_back_delivery import TAKE_BACK, take_back_delivery


def instalment_delivery(subject: str) -> str:
    """Return the id of the delivery that gives an instalment."""
    return "-".join(subject.removeprefix("credits:").split(":"))


class FakeFacts(FakeDeliveries):
    """The ledger's entries by their subjects, beside the deliveries that made them."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.claims: dict[str, Claim] = {}
        self.linked: dict[str, list[str]] = {}
        self.refunds: dict[str, Refund] = {}
        self.disputes: dict[str, dict[str, Dispute]] = {}
        self.taken: dict[str, Taken] = {}
        self.adjusted: dict[str, int] = {}
        self.periods: dict[str, PaidPeriod] = {}
        self.begun: dict[str, dict[str, int]] = {}
        self.ended: dict[str, dict[str, str]] = {}
        self.waits: dict[str, dict[str, str]] = {}
        self.instalments: dict[tuple[str, int, str], datetime] = {}
        """By order, number and meter: when an instalment that is to come is looked at next."""
        self.chains: dict[str, dict[str, str]] = {}
        """By subscription and meter: the youngest order that began instalments."""
        self.dismissed: dict[str, str] = {}
        self.shown: dict[str, Shown] = {}
        self.audit: list[str] = []
        self.places: dict[str, tuple[str, str]] = {}
        """By the claim that holds a place of an offer: the offer and the customer."""

    def find_for_plan(self, plan: Plan) -> Standing:
        """Return what the ledger has for all subjects of ``plan``; changes nothing."""
        subjects = dict.fromkeys(grant.subject for grant in plan.grants)
        linked = [plan.subject, *self.linked.get(plan.subject, [])]
        period = self.periods.get(plan.subject)
        return Standing(
            subject=plan.subject,
            claims=tuple(self.claims[one] for one in linked if one in self.claims),
            elsewhere=tuple(self.claims[one] for one in subjects if one in self.claims and one not in linked),
            refund=self.refunds.get(plan.subject),
            disputes=tuple(one for _, one in sorted(self.disputes.get(plan.subject, {}).items())),
            taken=self.taken.get(plan.subject, {}),
            adjusted=self.adjusted.get(plan.subject, 0),
            shown=self.shown.get(plan.subject),
            period=period,
            begun=dict(self.begun.get(plan.subject, {})),
            ended=dict(self.ended.get(plan.subject, {})),
            waits=dict(self.waits.get(plan.subject, {})),
            superseded=self._superseded(plan.subject, period),
            superseded_at=self._superseded_at(plan.subject, period),
            dismissed_with=self.dismissed.get(plan.subject, ""),
        )

    def _superseded(self, order: str, period: PaidPeriod | None) -> dict[str, str]:
        if period is None:
            return {}
        youngest = self.chains.get(period.subscription_id, {})
        return {
            meter: order_of(other) or ""
            for meter, other in youngest.items()
            if other != order and any(grant.meter == meter for grant in self.claims[order].grants)
        }

    def _superseded_at(self, order: str, period: PaidPeriod | None) -> dict[str, datetime]:
        return {
            meter: self.periods[order_subject(other)].ordered_at
            for meter, other in self._superseded(order, period).items()
        }

    def _later_claims_by(self, delivery_id: str, order: str) -> list[str]:
        linked = [one for one in self.linked.get(order, []) if one in self.claims]
        if delivery_id.startswith("instalment-"):
            return [one for one in linked if instalment_delivery(one) == delivery_id]
        return [one for one in linked if self.claims[one].delivery_id == delivery_id]

    def _take_backs_by(self, delivery_id: str, order: str) -> list[str]:
        return [one for one in self._later_claims_by(delivery_id, order) if is_take_back(one)]

    def _link(self, order: str, refund: str) -> None:
        linked = self.linked.setdefault(order, [])
        if refund not in linked:
            linked.append(refund)

    def _may_have_take_backs(self, order: str) -> bool:
        has_revoke = any(one.startswith(REVOKE) for one in self.linked.get(order, []))
        return order in self.refunds or order in self.disputes or has_revoke

    def _queue_take_back(self, order_id: str, customer_id: str) -> None:
        """Make it due to take back what the order's refunds take, and its lease, if there is one, lost."""
        data = {"order_id": order_id, "customer_id": customer_id}
        body = json.dumps({"type": TAKE_BACK, "data": data}).encode()
        self._queue(take_back_delivery(order_id), TAKE_BACK, body)
