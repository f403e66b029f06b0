"""Turns leased deliveries into credits: plan, claim, ingest, settle, hundreds of deliveries at a time.

What a delivery is worth and how it ends is decided in ``workers.core``; this module does the I/O in between.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

import structlog
from rq.timeouts import BaseTimeoutException

from config.rules import Rules
from workers.core.claims import Standing
from workers.core.delivery import Lease, Leased, Outcome
from workers.core.delivery_plans import PlannedDelivery, plan_as_shown, plan_delivery
from workers.core.forgetting import forgetting_outcome
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.outcomes import IngestionResult, decide_outcome
from workers.core.plans import Plan
from workers.pipeline.ingestion import Ingestion
from workers.pipeline.leases import (
    Accepted,
    ClaimedLease,
    IngestedLease,
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

log = structlog.get_logger(__name__)

# One lease waits for Polar and one is being settled while the next is planned and claimed.
_MAX_PENDING_LEASES = 2


@dataclass(frozen=True, kw_only=True)
class Granter:
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
    jitter: Callable[[], float] = random.random
    timings: Timings = DEFAULT_TIMINGS

    def drain(self) -> None:
        """Work on due deliveries until none is left, or until ``timings.drain_seconds`` are over.

        Three leases are in progress at a time: one is planned and claimed, one waits for Polar and one is
        settled. In sequence, most of the time would be spent waiting. Only one request to Polar is under
        way at a time, so that a pause after one request holds back the next.
        """
        ingesting, settling = ThreadPoolExecutor(max_workers=1), ThreadPoolExecutor(max_workers=1)
        timed_out = False
        try:
            self._drain(ingesting, settling)
        except BaseTimeoutException:
            timed_out = True  # by RQ's time limit: a thread hangs, and waiting for it would hang us too
            raise
        finally:
            for executor in (ingesting, settling):
                executor.shutdown(wait=not timed_out, cancel_futures=timed_out)

    def _drain(self, ingesting: Executor, settling: Executor) -> None:
        deadline = time.monotonic() + self.timings.drain_seconds
        pending: deque[Future[list[Outcome]]] = deque()
        accepted: dict[str, Accepted] = {}
        while time.monotonic() < deadline:
            lease = self.deliveries.lease(self.timings.deliveries_per_lease)
            if lease.deliveries:
                claimed = self._plan_and_claim(lease)
                ingested = ingesting.submit(copy_context().run, self._ingest_lease, claimed, accepted)
                pending.append(settling.submit(copy_context().run, self._settle_when_ingested, ingested))
            elif not pending:
                return
            while pending and (len(pending) > _MAX_PENDING_LEASES or not lease.deliveries):
                pending.popleft().result()
        for settled in pending:
            settled.result()

    def run(self, lease: Lease) -> list[Outcome]:
        """Plan, claim, ingest and settle a lease; return the outcomes of the deliveries it still held."""
        return self._settle(self._ingest_lease(self._plan_and_claim(lease), {}))

    def _plan_and_claim(self, lease: Lease) -> ClaimedLease:
        leased_at = time.monotonic()
        rules = self.rules()  # one version for the whole lease
        planned = self._plan_all(lease, rules)
        standings = self._claim(zip(lease.deliveries, planned, strict=True))
        as_shown = [
            plan_as_shown(one, standings.get(delivery.id), rules, delivery.body)
            for delivery, one in zip(lease.deliveries, planned, strict=True)
        ]
        if any(one is not before for one, before in zip(as_shown, planned, strict=True)):
            planned = as_shown  # nothing was claimed for these orders: an older webhook says what they are
            standings = self._claim(zip(lease.deliveries, planned, strict=True))
        return ClaimedLease(lease=lease, planned=planned, standings=standings, leased_at=leased_at)

    def _ingest_lease(self, claimed: ClaimedLease, accepted_before: dict[str, Accepted]) -> IngestedLease:
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

    def _settle_when_ingested(self, ingested: Future[IngestedLease]) -> list[Outcome]:
        return self._settle(ingested.result())

    def _settle(self, ingested: IngestedLease) -> list[Outcome]:
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

    def _claim(self, deliveries: Iterable[tuple[Leased, PlannedDelivery]]) -> dict[str, Standing]:
        """Claim the plans, then the take-backs and adjustments that they lead to.

        Returns the standings by delivery id.
        """
        known = [(one, each.plan, each.failure) for one, each in deliveries if each.plan is not None]
        planned = [(one, plan) for one, plan, _ in known]
        standings = self._claim_plans(planned)
        attempts = {delivery.id: delivery.attempt for delivery, _ in planned}
        # A delivery that fails must claim nothing: dismissing it would put the claim to rest, too.
        taking = [(one, plan) for one, plan, failure in known if not failure]
        left: Sequence[LaterClaim] = []
        while (due := due_claims(taking, standings)) and due != left:
            # If another worker has taken something back meanwhile, the new standings show it and the
            # take-backs are computed again. What stays the same belongs to leases that we have lost.
            self.ledger.take_back(due, attempts)
            standings, left = self._claim_plans(planned), due
        return standings

    def _claim_plans(self, planned: Sequence[tuple[Leased, Plan]]) -> dict[str, Standing]:
        if not planned:
            return {}
        attempts = {delivery.id: delivery.attempt for delivery, _ in planned}
        standings = self.ledger.claim([(delivery.id, plan) for delivery, plan in planned], attempts)
        return dict(zip(attempts, standings, strict=True))

    def _ingest(
        self, grants: Mapping[str, Grant], makers: Mapping[str, str], claimed: ClaimedLease
    ) -> IngestionResult:
        strikes = {delivery.id: delivery.strikes for delivery in claimed.lease.deliveries}
        ingestion = Ingestion(
            self.polar.ingest,
            may_send=self.throttle.take_request,
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
