"""Turns leased deliveries into credits: plan, claim, ingest, settle, hundreds of deliveries at a time.

What a delivery is worth and how it ends is decided in ``workers.core``; this module does the I/O in between.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from msgspec import Struct
from rq.timeouts import BaseTimeoutException

from config.log import get_log
from config.rules import Rules
from workers.core.claims import Standing
from workers.core.delivery import Lease, Leased, Outcome
from workers.core.delivery_plans import PlannedDelivery, plan_as_shown, plan_delivery
from workers.core.forgetting import forgetting_outcome
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.outcomes import IngestionResult, decide_outcome
from workers.core.plans import Plan
from workers.pipeline.drain import Drain
from workers.pipeline.ingestion import Ingestion
from workers.pipeline.leases import (
    Accepted,
    ClaimedLease,
    IngestedLease,
    PlannedLease,
    TakenLease,
    due_claims,
    following_instalments,
    grants_to_send,
)
from workers.pipeline.lookups import with_customers, with_subscriptions
from workers.pipeline.outcome_log import log_outcomes
from workers.pipeline.ports import (
    Deliveries,
    Forgetting,
    Ledger,
    OfferCustomers,
    Polar,
    Subscriptions,
    Throttle,
)
from workers.timings import DEFAULT_TIMINGS, Timings

log = get_log(__name__)


class Granter(Struct, frozen=True, kw_only=True):
    """Turns deliveries into credits."""

    deliveries: Deliveries
    ledger: Ledger
    throttle: Throttle
    polar: Polar
    rules: Callable[[], Rules]
    forgetting: Forgetting | None = None
    """None where ``customer.deleted`` erases nothing."""
    customers: OfferCustomers | None = None
    """None where no offers are given."""
    subscriptions: Subscriptions | None = None
    """None where no instalments are given."""
    telling: Callable[[], AbstractContextManager[object]] = nullcontext
    """The context in which the outcomes of a lease are logged; it may write their lines together."""
    jitter: Callable[[], float] = random.random
    timings: Timings = DEFAULT_TIMINGS

    def drain(self) -> None:
        """Work on due deliveries until none is left, or until ``timings.drain_seconds`` are over."""
        Drain(self, self.timings).run()

    def run(self, lease: Lease) -> list[Outcome]:
        """Plan, claim, ingest and settle a lease; return the outcomes of the deliveries it still held."""
        taken = TakenLease(lease=lease, taken_at=time.monotonic())
        return self.settle(self.ingest(self.claim(self.plan(taken), is_alone=True), {}))

    def take(self) -> TakenLease:
        """Lease what is due; its time begins before Redis answers."""
        taken_at = time.monotonic()
        return TakenLease(lease=self.deliveries.lease(self.timings.deliveries_per_lease), taken_at=taken_at)

    def plan(self, taken: TakenLease) -> PlannedLease:
        """Plan each delivery of a lease by the same rules, even if the file changes meanwhile."""
        rules, began_at = self.rules(), time.monotonic()
        planned = self._plan_all(taken.lease, rules)
        return PlannedLease(taken=taken, rules=rules, planned=planned, seconds=time.monotonic() - began_at)

    def claim(self, planned: PlannedLease, *, is_alone: bool = False) -> ClaimedLease:
        """Claim the plans of a lease; if it ``is_alone``, take its request to Polar from our share, too."""
        lease, plans = planned.taken.lease, planned.planned
        standings, may_ask = self._claim(zip(lease.deliveries, plans, strict=True), asks=is_alone)
        as_shown = [
            plan_as_shown(one, standings.get(delivery.id), planned.rules, delivery.body)
            for delivery, one in zip(lease.deliveries, plans, strict=True)
        ]
        if any(one is not before for one, before in zip(as_shown, plans, strict=True)):
            plans = as_shown  # nothing was claimed for these orders: an older webhook says what they are
            standings, _ = self._claim(zip(lease.deliveries, plans, strict=True), asks=False)
        return ClaimedLease(
            lease=lease,
            planned=plans,
            standings=standings,
            leased_at=planned.taken.taken_at,
            may_ask=may_ask,
            send_until=math.inf if is_alone else self._send_until(planned),
        )

    def _send_until(self, planned: PlannedLease) -> float:
        """Return until when a lease may wait for those before it, so that its request ends within it.

        The time of planning does not count, or a lease that takes long to plan would never be sent.
        """
        return planned.taken.taken_at + planned.seconds + self.timings.round_seconds

    def ingest(self, claimed: ClaimedLease, accepted_before: dict[str, Accepted]) -> IngestedLease:
        """Send the lease's grants, except those that Polar has accepted earlier in this drain.

        Two leases can contain deliveries of the same order, and the second may be claimed before the first
        is settled. ``accepted_before`` has what was accepted, by key; it is updated.
        """
        grants, makers = grants_to_send(claimed)
        sent = {key: grant for key, grant in grants.items() if key not in accepted_before}
        result = self._ingest(sent, makers, claimed)
        self._update_throttle(result, claimed.lease)  # at once: the next lease may be about to send
        earlier = {key: accepted_before[key] for key in grants.keys() - sent.keys()}
        for key in result.accepted:
            accepted_before[key] = Accepted(sent[key], makers[key], key in result.unconfirmed)
        result.accepted |= earlier.keys()
        result.unconfirmed |= {key for key, one in earlier.items() if one.is_unconfirmed}
        return IngestedLease(
            claimed=claimed,
            grants=sent,
            earlier=[one.grant for one in earlier.values()],
            makers=makers | {key: one.maker for key, one in earlier.items()},
            result=result,
        )

    def settle(self, ingested: IngestedLease) -> list[Outcome]:
        """Record how the deliveries of a lease end; return the outcomes of those that it still held."""
        standings, makers, result = ingested.claimed.standings, ingested.makers, ingested.result
        outcomes = [
            decide_outcome(delivery, planned, standings.get(delivery.id), makers, result)
            for delivery, planned in ingested.claimed.deliveries
            if not self._erases(planned)
        ]
        accepted = [grant for key, grant in ingested.grants.items() if key in result.accepted]
        # A Redis that came back without its newest data may have lost the settlement of the earlier ones.
        accepted_in_all, following = [*accepted, *ingested.earlier], following_instalments(standings)
        if lost := self.ledger.settle(accepted_in_all, outcomes, result.unconfirmed, following):
            # The worker that holds the newer lease logs these.
            outcomes = [outcome for outcome in outcomes if outcome.delivery_id not in lost]
        with self.telling():
            log_outcomes(outcomes, accepted, makers, standings)
        # Last, because a delivery of the same lease can be about the same customer.
        return outcomes + self._forget(ingested.claimed)

    def _erases(self, planned: PlannedDelivery) -> bool:
        return planned.deleted_customer is not None and self.forgetting is not None

    def _forget(self, claimed: ClaimedLease) -> list[Outcome]:
        """Erase the bodies about customers who were deleted; return how the deliveries that say so end."""
        told = [
            (one, customer) for one, planned in claimed.deliveries if (customer := planned.deleted_customer)
        ]
        if self.forgetting is None or not told:
            return []
        forgotten = self.forgetting.forget({one.id: customer for one, customer in told})
        outcomes = [forgetting_outcome(one, customer, forgotten[one.id]) for one, customer in told]
        lost = self.ledger.settle([], outcomes)
        outcomes = [outcome for outcome in outcomes if outcome.delivery_id not in lost]
        log_outcomes(outcomes, [], {}, {})
        return outcomes

    def _plan_all(self, lease: Lease, rules: Rules) -> list[PlannedDelivery]:
        planned = [self._plan(delivery, rules) for delivery in lease.deliveries]
        return with_subscriptions(with_customers(planned, self.customers, rules), self.subscriptions)

    def _plan(self, delivery: Leased, rules: Rules) -> PlannedDelivery:
        try:
            return plan_delivery(delivery.type, delivery.body, rules, keeps_fact=False)
        except BaseTimeoutException:
            raise  # RQ's time limit for the job, not this delivery's fault
        except Exception as error:  # a bug that one delivery triggers must not stop the others
            log.exception("planning failed", delivery=delivery.id)
            text = f"planning failed: {type(error).__name__}: {error}"
            failure = text.encode(errors="replace").decode()
            return PlannedDelivery(type=delivery.type, failure=failure)

    def _claim(
        self, deliveries: Iterable[tuple[Leased, PlannedDelivery]], *, asks: bool
    ) -> tuple[dict[str, Standing], bool | None]:
        """Claim the plans, then the take-backs and adjustments that they lead to.

        Returns the standings by delivery id, and whether a request that was taken from our share may be made.
        """
        known = [(one, each.plan, each.failure) for one, each in deliveries if each.plan is not None]
        planned = [(one, plan) for one, plan, _ in known]
        standings, may_ask = self._claim_plans(planned, asks=asks)
        attempts = {delivery.id: delivery.attempt for delivery, _ in planned}
        # A delivery that fails must claim nothing: dismissing it would put the claim to rest, too.
        taking = [(one, plan) for one, plan, failure in known if not failure]
        left: Sequence[LaterClaim] = []
        while (due := due_claims(taking, standings)) and due != left:
            # If another worker has taken something back meanwhile, the new standings show it and the
            # take-backs are computed again. What stays the same belongs to leases that we have lost.
            self.ledger.take_back(due, attempts)
            (standings, _), left = self._claim_plans(planned, asks=False), due
        return standings, may_ask

    def _claim_plans(
        self, planned: Sequence[tuple[Leased, Plan]], *, asks: bool
    ) -> tuple[dict[str, Standing], bool | None]:
        if not planned:
            return {}, None
        attempts = {delivery.id: delivery.attempt for delivery, _ in planned}
        plans = [(delivery.id, plan) for delivery, plan in planned]
        if asks:
            standings, may_ask = self.ledger.claim_and_ask(plans, attempts)
        else:
            standings, may_ask = self.ledger.claim(plans, attempts), None
        return dict(zip(attempts, standings, strict=True)), may_ask

    def _ingest(
        self, grants: Mapping[str, Grant], makers: Mapping[str, str], claimed: ClaimedLease
    ) -> IngestionResult:
        if time.monotonic() >= claimed.send_until:
            return IngestionResult()  # its deliveries are due again at once
        strikes = {delivery.id: delivery.strikes for delivery in claimed.lease.deliveries}
        ingestion = Ingestion(
            self.polar.ingest,
            may_send=_after(claimed.may_ask, self.throttle.take_request),
            strikes={key: strikes[makers[key]] for key in grants},
            outages=claimed.lease.outages,
            jitter=self.jitter,
            timings=self.timings,
        )
        return ingestion.run(list(grants.values()), leased_at=claimed.leased_at)

    def _update_throttle(self, result: IngestionResult, lease: Lease) -> None:
        if lease.outages and (result.accepted or result.refused):
            log.info("Polar outage ended", pauses=lease.outages)
            self.throttle.end_outage()
        elif lease.outages:
            self.throttle.release_probe()
        if result.pause is not None:
            seconds, reason = result.pause
            log.warning("Polar pause started", seconds=round(seconds, 1), reason=reason)
            self.throttle.pause(seconds, reason, result.cause)


def _after(first: bool | None, take_request: Callable[[], bool]) -> Callable[[], bool]:
    """Return what says whether a request may be made: ``first``, unless it is None, then ``take_request``."""
    known = [] if first is None else [first]
    return lambda: known.pop() if known else take_request()
