"""The shell around the pure core: lease, plan, claim, ingest, settle, many deliveries at a time."""

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
from workers.core.delivery_plans import PlannedDelivery, plan_delivery
from workers.core.grants import Grant
from workers.core.outcomes import IngestionResult, decide_outcome
from workers.core.planning import Plan
from workers.core.takebacks import due_take_backs
from workers.pipeline.ingestion import Ingestion
from workers.pipeline.outcome_log import tell
from workers.pipeline.ports import Deliveries, Ledger, Polar, Throttle
from workers.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)

# One of them waits for Polar, one is settled; the next is made ready.
_MOST_UNDER_WAY = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """A lease whose plans are frozen; ``begun`` is when it was taken, by the monotonic clock."""

    lease: Lease
    planned: Sequence[PlannedDelivery]
    standings: Mapping[str, Standing]
    begun: float

    @property
    def deliveries(self) -> Iterable[tuple[Leased, PlannedDelivery]]:
        """Return each leased delivery with its plan."""
        return zip(self.lease.deliveries, self.planned, strict=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A round, what Polar was asked for (by key), who made what was open (likewise), and what came of it."""

    round: Round
    grants: Mapping[str, Grant]
    makers: Mapping[str, str]
    done: IngestionResult


@dataclass(frozen=True, kw_only=True)
class Granter:
    """Turns deliveries into credit."""

    deliveries: Deliveries
    ledger: Ledger
    throttle: Throttle
    polar: Polar
    rules: Callable[[], Rules]
    jitter: Callable[[], float] = random.random
    timings: Timings = DEFAULT_TIMINGS

    def drain(self) -> None:
        """Work on what is due until nothing is, or until it is time to give way.

        One lease is made ready while Polar answers for the one before it, and the one before that is
        settled: one after the other, most of the time would be spent waiting. Polar is asked for one at a
        time, so that what the first meets keeps the next from asking.
        """
        asking, settling = ThreadPoolExecutor(max_workers=1), ThreadPoolExecutor(max_workers=1)
        hangs = False
        try:
            self._drain(asking, settling)
        except BaseTimeoutException:
            hangs = True  # RQ's time limit: to wait for a thread that hangs would be to hang with it
            raise
        finally:
            for threads in (asking, settling):
                threads.shutdown(wait=not hangs, cancel_futures=hangs)

    def _drain(self, asking: Executor, settling: Executor) -> None:
        give_way = time.monotonic() + self.timings.drain_seconds
        under_way: deque[Future[list[Outcome]]] = deque()
        taken: dict[str, str] = {}
        while time.monotonic() < give_way:
            lease = self.deliveries.lease(self.timings.deliveries_per_lease)
            if lease.deliveries:
                answered = asking.submit(copy_context().run, self._ask, self._prepare(lease), taken)
                under_way.append(settling.submit(copy_context().run, self._settle_answered, answered))
            elif not under_way:
                return
            while under_way and (len(under_way) > _MOST_UNDER_WAY or not lease.deliveries):
                under_way.popleft().result()
        for one in under_way:
            one.result()

    def run(self, lease: Lease) -> list[Outcome]:
        """Plan, claim, ingest and settle what was leased; return what became of what was still ours."""
        return self._settle(self._ask(self._prepare(lease), {}))

    def _prepare(self, lease: Lease) -> Round:
        begun = time.monotonic()
        rules = self.rules()  # one version for all of them
        planned = [self._plan(delivery, rules) for delivery in lease.deliveries]
        standings = self._claim(zip(lease.deliveries, planned, strict=True))
        return Round(lease=lease, planned=planned, standings=standings, begun=begun)

    def _ask(self, ready: Round, taken: dict[str, str]) -> Answered:
        """Ask Polar for what it has not taken in this drain: ``taken`` maps the keys of that to their makers.

        Two leases can tell of the same order; when the second was made ready, the first was not settled.
        """
        grants, makers = _open_grants(ready.standings)
        asked = {key: grant for key, grant in grants.items() if key not in taken}
        done = self._ingest(asked, makers, ready)
        self._heed(done, ready.lease)  # at once: the next lease may be about to ask
        before = {key: taken[key] for key in grants.keys() - asked.keys()}
        taken |= {key: makers[key] for key in done.accepted}
        done.accepted |= before.keys()
        return Answered(round=ready, grants=asked, makers=makers | before, done=done)

    def _settle_answered(self, answered: Future[Answered]) -> list[Outcome]:
        return self._settle(answered.result())

    def _settle(self, answered: Answered) -> list[Outcome]:
        standings, makers, done = answered.round.standings, answered.makers, answered.done
        outcomes = [
            decide_outcome(delivery, planned, standings.get(delivery.id), makers, done)
            for delivery, planned in answered.round.deliveries
        ]
        accepted = [grant for key, grant in answered.grants.items() if key in done.accepted]
        if lost := self.ledger.settle(accepted, outcomes):
            # Their story is another's to tell.
            outcomes = [one for one in outcomes if one.delivery_id not in lost]
        tell(outcomes, accepted, makers, standings)
        return outcomes

    def _plan(self, delivery: Leased, rules: Rules) -> PlannedDelivery:
        try:
            return plan_delivery(delivery.type, delivery.body, rules)
        except BaseTimeoutException:
            raise  # RQ's time limit for the job, not this delivery's fault
        except Exception as error:  # a bug that one delivery meets must not stop the others
            log.exception("planning broke", delivery=delivery.id)
            words = f"planning broke: {type(error).__name__}: {error}"
            failure = words.encode(errors="replace").decode()
            return PlannedDelivery(type=delivery.type, failure=failure)

    def _claim(self, deliveries: Iterable[tuple[Leased, PlannedDelivery]]) -> dict[str, Standing]:
        """Freeze what is planned, then what is taken back of it; return what stands, by delivery."""
        planned = [(one, planned.plan) for one, planned in deliveries if planned.plan is not None]
        standings = self._standings(planned)
        while due := [
            one for each, plan in planned for one in due_take_backs(standings[each.id], each.id, plan.revoke)
        ]:
            # What another has taken back meanwhile shows in the new standings, and is worked out anew.
            self.ledger.take_back(due)
            standings = self._standings(planned)
        return standings

    def _standings(self, planned: Sequence[tuple[Leased, Plan]]) -> dict[str, Standing]:
        if not planned:
            return {}
        attempts = {delivery.id: delivery.attempt for delivery, _ in planned}
        standings = self.ledger.claim([(delivery.id, plan) for delivery, plan in planned], attempts)
        return dict(zip(attempts, standings, strict=True))

    def _ingest(
        self, grants: Mapping[str, Grant], makers: Mapping[str, str], ready: Round
    ) -> IngestionResult:
        strikes = {delivery.id: delivery.strikes for delivery in ready.lease.deliveries}
        ingestion = Ingestion(
            self.polar.ingest,
            may_ask=self.throttle.take_request,
            strikes={key: strikes[makers[key]] for key in grants},
            outages=ready.lease.outages,
            jitter=self.jitter,
            timings=self.timings,
        )
        return ingestion.run(list(grants.values()), begun=ready.begun)

    def _heed(self, done: IngestionResult, lease: Lease) -> None:
        if lease.outages and (done.accepted or done.refused):
            log.info("Polar takes events again", outages=lease.outages)
            self.throttle.end_outage()
        elif lease.outages:
            self.throttle.release_probe()
        if done.pause is not None:
            seconds, reason = done.pause
            log.warning("pausing", seconds=round(seconds, 1), reason=reason)
            self.throttle.pause(seconds, reason, done.cause)


def _open_grants(standings: Mapping[str, Standing]) -> tuple[dict[str, Grant], dict[str, str]]:
    """Return by key the grants that Polar has yet to confirm, and the first delivery of each."""
    grants: dict[str, Grant] = {}
    makers: dict[str, str] = {}
    for delivery_id, standing in standings.items():
        for claim in standing.claims:
            for grant in claim.unsettled:
                grants[grant.key] = grant
                makers.setdefault(grant.key, delivery_id)
    return grants, makers
