"""Later claims in memory: what is taken back, adjusted, or given later of an order."""

from collections.abc import Mapping, Sequence

from tests.support.fake_store.facts import FakeFacts
from workers.core.claims import Claim
from workers.core.later_claims import Adjustment, Instalment, LaterClaim, TakeBack


class TakingBack(FakeFacts):
    """Freezes later claims, as take_back.lua does."""

    def take_back(self, claims: Sequence[LaterClaim], attempts: Mapping[str, int] | None = None) -> None:
        """Freeze take-backs and adjustments, but for those computed from an older state of the ledger."""
        for one in claims:
            subject = one.grants[0].subject
            if subject in self.claims:
                self._link(one.subject, subject)
            elif self._may_take_back(one, (attempts or {}).get(one.delivery_id)):
                self.claims[subject] = Claim(
                    subject=subject,
                    delivery_id=one.delivery_id,
                    claimed_at=self._clock.now,
                    grants=one.grants,
                    order_id=one.grants[0].order_id,
                )
                self._note(one)
                self._link(one.subject, subject)

    def _note(self, one: LaterClaim) -> None:
        if isinstance(one, Instalment):
            self.begun.setdefault(one.subject, {})[one.grant.meter] = one.number
        elif isinstance(one, Adjustment):
            self.adjusted[one.subject] = one.adjusted
        else:
            taken = {**self.taken.get(one.subject, {}), **one.after}
            self.taken[one.subject] = {meter: rules for meter, rules in taken.items() if rules}

    def _may_take_back(self, one: LaterClaim, attempt: int | None) -> bool:
        return (attempt is None or self._holds(one.delivery_id, attempt)) and self._is_up_to_date(one)

    def _is_up_to_date(self, one: LaterClaim) -> bool:
        begun = self.begun.get(one.subject, {})
        if isinstance(one, Instalment):
            meter, disputes = one.grant.meter, self.disputes.get(one.subject, {})
            return (
                begun.get(meter, 1) == one.number - 1
                and meter not in self.ended.get(one.subject, {})
                and self.taken.get(one.subject, {}).get(meter, {}) == one.taken
                and self.refunds.get(one.subject) == one.refund
                and set(disputes.values()).issuperset(one.disputes)
            )
        if isinstance(one, TakeBack) and one.begun != begun:
            return False
        if isinstance(one, Adjustment):
            adjusted, before, after = one.before, one.taken, one.taken
        else:
            adjusted, before, after = one.adjusted, one.before, one.after
        taken = self.taken.get(one.subject, {})
        is_same = all(taken.get(meter, {}) == before.get(meter, {}) for meter in {**before, **after})
        return is_same and self.adjusted.get(one.subject, 0) == adjusted
