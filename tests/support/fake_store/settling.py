"""Settlements in memory: what Polar has, and each delivery's outcome."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from msgspec.structs import replace

from tests.support.fake_store.deliveries import TAKES_BACK, Stored
from tests.support.fake_store.facts import FakeFacts
from workers.core.delivery import Outcome, PutBack, Status
from workers.core.grants import (
    Grant,
    is_adjustment,
    is_instalment,
    is_take_back,
    order_subject,
    refund_subject,
)
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment

LOST_CLAIM = "its claim was lost with Redis's newest data: it is claimed again"
BONUS_GONE = "a bonus that it relied on is claimed no more: it is claimed again"


class Settling(FakeFacts):
    """Records grants and outcomes, as settle.lua does, and confirms what was in doubt."""

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        """Record accepted grants and outcomes; return the deliveries that another worker has by now."""
        for grant in accepted:
            claim = self.claims.get(grant.subject)
            claimed = [one for one in claim.grants if one.meter == grant.meter] if claim else []
            if claim and claimed and grant.meter not in claim.settled:
                settled = {**claim.settled, grant.meter: self._clock.now}
                doubts = dict(claim.unconfirmed)
                if grant.key in unconfirmed or claimed[0].parts != grant.parts:
                    doubts[grant.meter] = ""
                self.claims[grant.subject] = replace(claim, settled=settled, unconfirmed=doubts)
                self.audit.append(grant.key)
                self._begin_next(grant, following.get(grant.key))
                if self._may_be_taken_back(grant):
                    self._queue_take_back(grant.order_id or "", grant.customer_id)
        lost = set()
        for outcome in outcomes:
            kept = self.deliveries.get(outcome.delivery_id)
            if kept is None or kept.status is not Status.WAITING or kept.attempts != outcome.attempt:
                lost.add(outcome.delivery_id)
            elif self._ends(outcome) and self._is_claim_lost(outcome):
                kept.due = self._clock.now
                kept.reason = BONUS_GONE if self._is_bonus_gone(outcome) else LOST_CLAIM
                lost.add(outcome.delivery_id)
            elif outcome.put_back:
                self._put_back(outcome, outcome.put_back)
            else:
                self._write(kept, outcome)
        return lost

    def _ends(self, outcome: Outcome) -> bool:
        return outcome.status is not Status.WAITING or outcome.put_back is not None

    def _begin_next(self, grant: Grant, following: NextInstalment | None) -> None:
        order = order_subject(grant.order_id or "")
        if is_instalment(grant.subject):
            self.waits.get(order, {}).pop(grant.meter, None)
        if following and grant.meter not in self.ended.get(order, {}):
            place = (following.order_id, following.number, following.meter)
            self.instalments.setdefault(place, following.at)

    def _put_back(self, outcome: Outcome, back: PutBack) -> None:
        del self.deliveries[outcome.delivery_id]
        self.instalments[outcome.order_id, back.number, back.meter] = back.until
        waits = self.waits.setdefault(outcome.subject, {})
        waits.pop(back.meter, None)
        if back.reason:
            waits[back.meter] = back.reason

    def _may_be_taken_back(self, settled: Grant) -> bool:
        if is_adjustment(settled.subject):
            return self._is_reversed_meanwhile(settled.order_id or "")
        if is_instalment(settled.subject):
            order = order_subject(settled.order_id or "")
            return self._may_have_take_backs(order)
        return settled.subject in self.refunds or settled.subject in self.disputes

    def _is_reversed_meanwhile(self, order_id: str) -> bool:
        refund = self.refunds.get(order_subject(order_id))
        is_new = refund is not None and refund_subject(order_id, refund.amount) not in self.claims
        linked = [self.claims.get(one) for one in self.linked.get(order_subject(order_id), [])]
        taking = [one for one in linked if one and is_take_back(one.subject) and not one.is_dismissed]
        is_held = any(one.unsettled for one in taking)
        return is_new or is_held or order_subject(order_id) in self.disputes

    def _is_claim_lost(self, outcome: Outcome) -> bool:
        refund, refunded_amount = self.refunds.get(outcome.subject), outcome.refunded_amount
        later = self._later_claims_by(outcome.delivery_id, outcome.subject)
        is_later = self.deliveries[outcome.delivery_id].type in TAKES_BACK
        own = self.claims.get(outcome.subject)
        is_unseen = outcome.subject not in outcome.relies_on
        return (
            any(subject not in self.claims for subject in outcome.relies_on)
            or (is_later and not set(later) <= set(outcome.relies_on))
            or (own is not None and own.delivery_id == outcome.delivery_id and is_unseen)
            or (refunded_amount is not None and (refund is None or refund.amount < refunded_amount))
            or outcome.dispute_id not in {None, *self.disputes.get(outcome.subject, {})}
            or (outcome.is_shown and outcome.subject not in self.shown)
        )

    def _is_bonus_gone(self, outcome: Outcome) -> bool:
        missing = [subject for subject in outcome.relies_on if subject not in self.claims]
        is_bonus = bool(missing) and all(one.startswith("credits:customer:") for one in missing)
        return outcome.subject in self.dismissed or is_bonus

    def _write(self, kept: Stored, outcome: Outcome) -> None:
        kept.reason = outcome.reason
        if outcome.ended:
            self.ended.setdefault(outcome.subject, {})[outcome.ended.meter] = outcome.ended.reason
            self.waits.get(outcome.subject, {}).pop(outcome.ended.meter, None)
        if outcome.status is Status.WAITING:
            kept.due = self._clock.now + timedelta(seconds=outcome.after_seconds)
            kept.strikes += outcome.strike
            kept.put_off = outcome.attempt
            return
        own = self.claims.get(outcome.subject)
        if outcome.status is Status.FAILED:
            self._adopt(outcome)
        if outcome.status is Status.FAILED and own and not own.settled:
            self.places.pop(outcome.subject, None)
        kept.status, kept.due, kept.subject = outcome.status, None, outcome.subject
        kept.order_id, kept.customer_id = outcome.order_id, outcome.customer_id

    def _adopt(self, outcome: Outcome) -> None:
        """Make the refused take-backs of deliveries that have ended those of the one that sent them."""
        for subject in outcome.refused:
            claim = self.claims[subject]
            claimer = self.deliveries.get(claim.delivery_id)
            is_over = claimer is None or claimer.status in {Status.GRANTED, Status.SKIPPED}
            if is_over and not claim.is_dismissed:
                self.claims[subject] = replace(claim, delivery_id=outcome.delivery_id)

    def confirm(self, grants: Sequence[Grant]) -> None:
        """Note that Polar has these grants as the ledger has them; what refunds take of them becomes due."""
        for grant in grants:
            self._confirm(grant)

    def _confirm(self, grant: Grant) -> None:
        claim = self.claims[grant.subject]
        doubts = {meter: text for meter, text in claim.unconfirmed.items() if meter != grant.meter}
        self.claims[grant.subject] = replace(claim, unconfirmed=doubts)
        order = order_subject(claim.order_id or "")
        if order in self.claims and self._may_have_take_backs(order):
            self._queue_take_back(claim.order_id or "", grant.customer_id)
