"""Claims in memory: a plan is frozen once, if it may be."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from tests.support.fake_store.deliveries import TAKES_BACK
from tests.support.fake_store.facts import FakeFacts
from workers.core.claims import Claim, Claimed, Standing
from workers.core.plans import Plan
from workers.core.schedule import PaidPeriod


class Claiming(FakeFacts):
    """Freezes plans, as claim.lua does."""

    def claim_and_ask(self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int]) -> Claimed:
        """Claim; the request is left to the throttle."""
        return Claimed(self.claim(plans, attempts), may_ask=None)

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Freeze what is not frozen yet, if the lease is still valid; return what the ledger has then."""
        for _, plan in plans:
            if plan.shown:
                self.shown.setdefault(plan.subject, plan.shown)
        return [self._claim(id_, plan, (attempts or {}).get(id_)) for id_, plan in plans]

    def _claim(self, delivery_id: str, plan: Plan, attempt: int | None) -> Standing:
        self._record_refund(plan)
        if plan.dispute:
            self.disputes.setdefault(plan.subject, {})[plan.dispute.id] = plan.dispute
        kept = self.deliveries.get(delivery_id)
        if attempt is not None and kept and kept.is_named:
            kept.is_named = False
            if kept.type not in TAKES_BACK:
                self.dismissed.pop(plan.subject, None)
        holds = attempt is None or self._holds(delivery_id, attempt)
        is_other = self.shown.get(plan.subject) != plan.shown or plan.subject in self.dismissed
        if holds and plan.cap and not self._take_place(plan):
            return replace(self.find_for_plan(plan), is_capped=True)
        if holds and not is_other and plan.subject not in self.claims:
            self._claim_grants(delivery_id, plan)
        return self.find_for_plan(plan)

    def _take_place(self, plan: Plan) -> bool:
        """Take one of the customer's places of an offer, unless it has one; return whether it has one."""
        own = self.claims.get(plan.subject)
        is_other = own is not None and own.grants[0].customer_id != plan.customer_id
        is_done = own is not None and not own.unsettled
        if is_done or is_other or plan.subject in self.dismissed or plan.subject in self.places:
            return True
        assert plan.cap is not None
        held = (plan.cap.offer, plan.customer_id)
        if plan.cap.most is not None and list(self.places.values()).count(held) >= plan.cap.most:
            return False
        self.places[plan.subject] = held
        return True

    def _record_refund(self, plan: Plan) -> None:
        seen = self.refunds.get(plan.subject)
        if plan.refund and (
            seen is None or (plan.refund.amount, plan.refund.share == 1) > (seen.amount, False)
        ):
            self.refunds[plan.subject] = plan.refund

    def _claim_grants(self, delivery_id: str, plan: Plan) -> None:
        wanted = dict.fromkeys(grant.subject for grant in plan.grants)
        subjects = [one for one in wanted if one not in self.claims]
        for subject in subjects and dict.fromkeys([plan.subject, *subjects]):
            self.claims[subject] = Claim(
                subject=subject,
                delivery_id=delivery_id,
                claimed_at=self._clock.now,
                grants=tuple(grant for grant in plan.grants if grant.subject == subject),
                order_id=plan.order_id,
            )
        self.linked[plan.subject] = [one for one in subjects if one != plan.subject]
        if plan.period and plan.subject in subjects:
            self._begin_chain(plan, plan.period)

    def _begin_chain(self, plan: Plan, period: PaidPeriod) -> None:
        self.periods[plan.subject] = period
        youngest = self.chains.setdefault(period.subscription_id, {})
        for grant in plan.grants:
            known = youngest.get(grant.meter)
            is_younger = known is None or self.periods[known].ordered_at < period.ordered_at
            if is_younger and any(part.every for part in grant.parts):
                youngest[grant.meter] = plan.subject
