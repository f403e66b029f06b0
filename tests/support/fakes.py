"""Fakes in memory: the stores and a clock, as strict as the real ones."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from tests.support.fake_polar import FakePolar
from workers.core.claims import Claim, Claimed, Dispute, Refund, Shown, Standing, Taken
from workers.core.delivery import Lease, Leased, Outcome, PutBack, Status
from workers.core.envelope import peek_type
from workers.core.grants import (
    REVOKE,
    Grant,
    instalment_number,
    instalment_subject,
    is_adjustment,
    is_instalment,
    is_take_back,
    order_of,
    order_subject,
    refund_subject,
)
from workers.core.instalments import INSTALMENT
from workers.core.later_claims import Adjustment, Instalment, LaterClaim, TakeBack
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.pauses import PauseCause
from workers.core.plans import Plan
from workers.core.revival import without_revoke
from workers.core.schedule import PaidPeriod
from workers.core.take_back_delivery import TAKE_BACK, take_back_delivery
from workers.core.usage_events import usage_event
from workers.timings import DEFAULT_TIMINGS

TAKES_BACK = {
    "order.refunded",
    "credits.dispute",
    "credits.take_back",
    "manual.revoke",
    "manual.adjust",
    "credits.instalment",
}
"""The types of deliveries that never make an order's own credits."""


LOST_CLAIM = "its claim was lost with Redis's newest data: it is claimed again"
BONUS_GONE = "a bonus that it relied on is claimed no more: it is claimed again"


def instalment_delivery(subject: str) -> str:
    """Return the id of the delivery that gives an instalment."""
    return "-".join(subject.removeprefix("credits:").split(":"))


class KilledError(BaseException):
    """The process is killed here, as by ``kill -9``: no code of ours may catch it."""


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, tzinfo=UTC)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now += timedelta(seconds=seconds)


@dataclass(kw_only=True, slots=True)
class Stored:
    """A delivery as the store keeps it; ``due`` is None once it is settled."""

    type: str
    body: bytes
    due: datetime | None
    status: Status = Status.WAITING
    reason: str = ""
    attempts: int = 0
    strikes: int = 0
    subject: str = ""
    order_id: str = ""
    customer_id: str = ""
    is_named: bool = False


class FakeStore:
    """Deliveries, Ledger and Throttle in memory; each method does what the Lua script of its name does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.deliveries: dict[str, Stored] = {}
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
        self.last_pause: tuple[float, str] | None = None  # the last that began: seconds, reason
        self.outages = 0
        self._paused_until = clock.now
        self._probed_until = clock.now

    def accept(self, delivery_id: str, body: bytes) -> None:
        """Store a delivery that is due at once."""
        if known := self.deliveries.get(delivery_id):
            known.due = known.due or (self._clock.now if known.status is Status.WAITING else None)
            return
        self.deliveries[delivery_id] = Stored(type=peek_type(body) or "", body=body, due=self._clock.now)

    def lease(self, most: int) -> Lease:
        """Lease what is due, unless there is a pause or another worker is the probe."""
        now = self._clock.now
        if now < self._paused_until or (self.outages and now < self._probed_until):
            return Lease(deliveries=())
        due = sorted((kept.due, id_) for id_, kept in self.deliveries.items() if kept.due and kept.due <= now)
        taken = tuple(self._take(id_) for _, id_ in due[: max(1, most // 2**self.outages)])
        if taken and self.outages:
            self._probed_until = now + timedelta(seconds=DEFAULT_TIMINGS.lease_seconds)
        return Lease(deliveries=taken, outages=self.outages)

    def reopen(self, *ids: str, by_name: bool = False) -> Lease:
        """Lease these deliveries, whatever their status."""
        for delivery_id in ids:
            kept = self.deliveries[delivery_id]
            kept.status, kept.strikes = Status.WAITING, 0
            kept.is_named = by_name and not kept.subject
            if by_name and kept.subject:
                self._revive(delivery_id, kept)
        return Lease(deliveries=tuple(map(self._take, ids)))

    def dismiss(self, *ids: str) -> None:
        """Skip these deliveries, if they have failed, and put what they are about to rest."""
        for delivery_id in ids:
            kept = self.deliveries[delivery_id]
            if kept.status is not Status.FAILED:
                continue
            kept.status = Status.SKIPPED
            if kept.type in TAKES_BACK:
                for subject in self._later_claims_by(delivery_id, kept.subject):
                    self._put_to_rest(self.claims[subject])
            elif kept.subject:
                for subject in self._take_backs_by(delivery_id, kept.subject):
                    self._put_to_rest(self.claims[subject])
                self._release_bonuses(kept.subject)
                self.dismissed[kept.subject] = delivery_id

    def _put_to_rest(self, claim: Claim) -> None:
        """Dismiss a later claim; what waited for an instalment or an adjustment becomes due."""
        self.claims[claim.subject] = replace(claim, is_dismissed=True)
        order = order_subject(claim.order_id or "")
        held_back_others = is_instalment(claim.subject) or is_adjustment(claim.subject)
        if held_back_others and self._may_have_take_backs(order):
            self._queue_take_back(claim.order_id or "", claim.grants[0].customer_id)

    def _revive(self, delivery_id: str, kept: Stored) -> None:
        if kept.type not in TAKES_BACK:
            self.dismissed.pop(kept.subject, None)
            for subject in self._take_backs_by(delivery_id, kept.subject):
                self.claims[subject] = replace(self.claims[subject], is_dismissed=False)
            return
        for subject in self._later_claims_by(delivery_id, kept.subject):
            claim = self.claims[subject]
            is_released = self._release_instalment(kept.subject, claim)
            if not is_released and not self._release_revoke(kept.subject, claim):
                self.claims[subject] = replace(claim, is_dismissed=False)

    def _release_instalment(self, order: str, claim: Claim) -> bool:
        """Give up the claim of a dismissed instalment that Polar lacks; return whether it was one."""
        if not is_instalment(claim.subject) or not claim.is_dismissed or claim.settled:
            return False
        begun, meter = self.begun[order], claim.grants[0].meter
        if begun[meter] != instalment_number(claim.subject):
            return False
        begun[meter] -= 1
        if begun[meter] == 1:
            del begun[meter]
        del self.claims[claim.subject]
        self.linked[order].remove(claim.subject)
        return True

    def _release_revoke(self, order: str, claim: Claim) -> bool:
        """Give up the claim of a dismissed revoke that Polar lacks; return whether it was one."""
        left = without_revoke(self.taken.get(order, {}), claim)
        if left is None:
            return False
        self.taken[order] = left
        del self.claims[claim.subject]
        self.linked[order].remove(claim.subject)
        return True

    def _later_claims_by(self, delivery_id: str, order: str) -> list[str]:
        linked = [one for one in self.linked.get(order, []) if one in self.claims]
        if delivery_id.startswith("instalment-"):
            return [one for one in linked if instalment_delivery(one) == delivery_id]
        return [one for one in linked if self.claims[one].delivery_id == delivery_id]

    def _take_backs_by(self, delivery_id: str, order: str) -> list[str]:
        return [one for one in self._later_claims_by(delivery_id, order) if is_take_back(one)]

    def _release_bonuses(self, fact: str) -> None:
        """Give back to the customer the bonuses of which Polar has nothing."""
        linked = self.linked.get(fact, [])
        released = [
            one for one in linked if one.startswith("credits:customer:") and not self.claims[one].settled
        ]
        self.linked[fact] = [one for one in linked if one not in released]
        for subject in released:
            del self.claims[subject]
        if released and not self.claims[fact].grants:
            del self.claims[fact]

    def move_due(self, polar_now: datetime) -> None:
        """Turn the instalments whose time has come into deliveries, if that is the time by Polar's clock."""
        for place in [one for one, at in self.instalments.items() if at <= polar_now]:
            del self.instalments[place]
            self._queue_instalment(*place)

    def _queue_instalment(self, order_id: str, number: int, meter: str) -> None:
        period, own = self.periods[order_subject(order_id)], self.claims[order_subject(order_id)]
        data = {
            "order_id": order_id,
            "number": number,
            "meter": meter,
            "customer_id": own.grants[0].customer_id,
            "subscription_id": period.subscription_id,
            "product_id": period.product_id,
        }
        delivery_id = instalment_delivery(instalment_subject(order_id, number, meter))
        self._queue(delivery_id, INSTALMENT, json.dumps({"type": INSTALMENT, "data": data}).encode())

    def _queue(self, delivery_id: str, type_: str, body: bytes) -> None:
        """Make a delivery of our own due; its lease, if there is one, is lost."""
        known = self.deliveries.get(delivery_id)
        self.deliveries[delivery_id] = Stored(
            type=type_, body=body, due=self._clock.now, attempts=known.attempts + 1 if known else 0
        )

    def _take(self, delivery_id: str) -> Leased:
        kept = self.deliveries[delivery_id]
        kept.due = self._clock.now + timedelta(seconds=DEFAULT_TIMINGS.lease_seconds)
        kept.attempts += 1
        return Leased(
            id=delivery_id, type=kept.type, body=kept.body, strikes=kept.strikes, attempt=kept.attempts
        )

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

    def _holds(self, delivery_id: str, attempt: int) -> bool:
        kept = self.deliveries.get(delivery_id)  # it may have expired, or its Redis may be lost
        return kept is not None and kept.attempts == attempt

    def _record_refund(self, plan: Plan) -> None:
        seen = self.refunds.get(plan.subject)
        if plan.refund and (
            seen is None or (plan.refund.amount, plan.refund.share == 1) > (seen.amount, False)
        ):
            self.refunds[plan.subject] = plan.refund

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

    def _begin_chain(self, plan: Plan, period: PaidPeriod) -> None:
        self.periods[plan.subject] = period
        youngest = self.chains.setdefault(period.subscription_id, {})
        for grant in plan.grants:
            known = youngest.get(grant.meter)
            is_younger = known is None or self.periods[known].ordered_at < period.ordered_at
            if is_younger and any(part.every for part in grant.parts):
                youngest[grant.meter] = plan.subject

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

    def _link(self, order: str, refund: str) -> None:
        linked = self.linked.setdefault(order, [])
        if refund not in linked:
            linked.append(refund)

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
        return is_new or order_subject(order_id) in self.disputes

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

    def _may_have_take_backs(self, order: str) -> bool:
        has_revoke = any(one.startswith(REVOKE) for one in self.linked.get(order, []))
        return order in self.refunds or order in self.disputes or has_revoke

    def _queue_take_back(self, order_id: str, customer_id: str) -> None:
        """Make it due to take back what the order's refunds take, and its lease, if there is one, lost."""
        data = {"order_id": order_id, "customer_id": customer_id}
        body = json.dumps({"type": TAKE_BACK, "data": data}).encode()
        self._queue(take_back_delivery(order_id), TAKE_BACK, body)

    def _write(self, kept: Stored, outcome: Outcome) -> None:
        kept.reason = outcome.reason
        if outcome.ended:
            self.ended.setdefault(outcome.subject, {})[outcome.ended.meter] = outcome.ended.reason
            self.waits.get(outcome.subject, {}).pop(outcome.ended.meter, None)
        if outcome.status is Status.WAITING:
            kept.due = self._clock.now + timedelta(seconds=outcome.after_seconds)
            kept.strikes += outcome.strike
            return
        own = self.claims.get(outcome.subject)
        if outcome.status is Status.FAILED and own and not own.settled:
            self.places.pop(outcome.subject, None)
        kept.status, kept.due, kept.subject = outcome.status, None, outcome.subject
        kept.order_id, kept.customer_id = outcome.order_id, outcome.customer_id

    def take_request(self) -> bool:
        """Allow every request except during a pause."""
        return self._clock.now >= self._paused_until

    def pause(self, seconds: float, reason: str, cause: PauseCause) -> None:
        """Make every worker wait; pauses that overlap count as one, and the longest applies."""
        now = self._clock.now
        self.last_pause = (seconds, reason)
        self.outages += now >= self._paused_until
        self._paused_until = max(self._paused_until, now + timedelta(seconds=seconds))
        self._probed_until = now

    def release_probe(self) -> None:
        """Let another worker ask first."""
        self._probed_until = self._clock.now

    def forget_pauses(self) -> None:
        """Forget every pause and outage."""
        self.outages = 0
        self._paused_until = self._probed_until = self._clock.now

    def end_outage(self) -> None:
        """Note that Polar accepts events again."""
        self.outages = 0
        self._probed_until = self._clock.now


def read_back(store: FakeStore, polar: FakePolar) -> None:
    """Confirm what Polar has as the ledger has it, as the background process does."""
    for claim in list(store.claims.values()):
        for grant in claim.grants:
            event = polar.events.get(grant.key)
            if grant.meter in claim.unconfirmed and event == usage_event(grant):
                store.confirm([grant])
