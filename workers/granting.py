"""The shell around the pure core: lease, plan, claim, ingest, settle, many deliveries at a time."""

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from rq.timeouts import BaseTimeoutException

from config.rules import Rules
from workers.cases import Case, conclude, credits_text, open_case
from workers.grants import Grant
from workers.ingesting import Ingested, Ingestion
from workers.planning import Plan
from workers.records import Lease, Leased, Outcome, Standing, Status, TakeBack
from workers.revoking import take_backs

log = structlog.get_logger(__name__)

# The grants of one lease go in one request or two: a month's renewals take minutes.
MOST_DELIVERIES = 500

# A drain gives way after this, so that nobody waits long for a worker that is told to stop.
_DRAIN_SECONDS = 5.0


class Inbox(Protocol):
    """Where deliveries come from."""

    def lease(self, most: int) -> Lease:
        """Take up to ``most`` that are due."""
        ...


class Book(Protocol):
    """Where grants are claimed and settled."""

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Freeze each (delivery id, plan) whose lease, by its attempt, still holds; return what stands."""
        ...

    def take_back(self, claims: Sequence[TakeBack]) -> None:
        """Freeze what is taken back, unless something else has been taken back meanwhile."""
        ...

    def settle(self, accepted: Sequence[Grant], outcomes: Sequence[Outcome]) -> set[str]:
        """Write down what Polar took and what became of the deliveries, but for those returned: others'."""
        ...


class Gate(Protocol):
    """What keeps everybody from asking Polar in vain."""

    def take(self) -> bool:
        """Say whether one more request may be made now."""
        ...

    def begin(self, seconds: float, reason: str) -> None:
        """Let everybody wait."""
        ...

    def give_back(self) -> None:
        """Let another be the first to ask."""
        ...

    def over(self) -> None:
        """Let everybody go on."""
        ...


class Sink(Protocol):
    """Where usage events go: Polar."""

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Ingest all of them or raise PolarError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Granter:
    """Turns deliveries into credit."""

    inbox: Inbox
    book: Book
    gate: Gate
    polar: Sink
    rules: Callable[[], Rules]
    jitter: Callable[[], float] = random.random

    def drain(self) -> None:
        """Work on what is due until nothing is, or until it is time to give way."""
        give_way = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < give_way:
            lease = self.inbox.lease(MOST_DELIVERIES)
            if not lease.deliveries:
                return
            self.run(lease)

    def run(self, lease: Lease) -> list[Outcome]:
        """Plan, claim, ingest and settle what was leased; return what became of what was still ours."""
        rules = self.rules()  # one version for all of them
        cases = [self._open(delivery, rules) for delivery in lease.deliveries]
        standings = self._claim(cases)
        grants, makers = _open_grants(standings)
        done = self._ingest(grants, makers, lease)
        outcomes = [conclude(case, standings.get(case.delivery.id), makers, done) for case in cases]
        accepted = [grant for key, grant in grants.items() if key in done.accepted]
        if lost := self.book.settle(accepted, outcomes):
            # Their story is another's to tell.
            outcomes = [one for one in outcomes if one.delivery_id not in lost]
        self._heed(done, lease)
        _tell(outcomes, accepted, makers)
        return outcomes

    def _open(self, delivery: Leased, rules: Rules) -> Case:
        try:
            return open_case(delivery, rules)
        except BaseTimeoutException:
            raise  # RQ's time limit for the job, not this delivery's fault
        except Exception as error:  # a bug that one delivery meets must not stop the others
            log.exception("planning broke", delivery=delivery.id)
            words = f"planning broke: {type(error).__name__}: {error}"
            return Case(delivery=delivery, failure=words.encode(errors="replace").decode())

    def _claim(self, cases: Iterable[Case]) -> dict[str, Standing]:
        """Freeze what is planned, then what is taken back of it; return what stands, by delivery."""
        planned = [(case.delivery, case.plan) for case in cases if case.plan is not None]
        standings = self._standings(planned)
        while due := [one for each, plan in planned for one in take_backs(plan, standings[each.id], each.id)]:
            # What another has taken back meanwhile shows in the new standings, and is worked out anew.
            self.book.take_back(due)
            standings = self._standings(planned)
        return standings

    def _standings(self, planned: Sequence[tuple[Leased, Plan]]) -> dict[str, Standing]:
        if not planned:
            return {}
        attempts = {delivery.id: delivery.attempt for delivery, _ in planned}
        standings = self.book.claim([(delivery.id, plan) for delivery, plan in planned], attempts)
        return dict(zip(attempts, standings, strict=True))

    def _ingest(self, grants: Mapping[str, Grant], makers: Mapping[str, str], lease: Lease) -> Ingested:
        strikes = {delivery.id: delivery.strikes for delivery in lease.deliveries}
        ingestion = Ingestion(
            self.polar.ingest,
            may_ask=self.gate.take,
            strikes={key: strikes[maker] for key, maker in makers.items()},
            outages=lease.outages,
            jitter=self.jitter,
        )
        return ingestion.run(list(grants.values()))

    def _heed(self, done: Ingested, lease: Lease) -> None:
        if lease.outages and (done.accepted or done.refused):
            log.info("going on", pauses=lease.outages)
            self.gate.over()
        elif lease.outages:
            self.gate.give_back()
        if done.pause is not None:
            seconds, reason = done.pause
            log.warning("pausing", seconds=round(seconds, 1), reason=reason)
            self.gate.begin(seconds, reason)


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


def _tell(outcomes: Iterable[Outcome], accepted: Iterable[Grant], makers: Mapping[str, str]) -> None:
    given: dict[str, list[Grant]] = {}
    for grant in accepted:
        given.setdefault(makers[grant.key], []).append(grant)
    for outcome in outcomes:
        grants = given.get(outcome.delivery_id, [])
        log.log(
            _level(outcome),
            outcome.status.value,
            delivery=outcome.delivery_id,
            order=outcome.order_id or None,
            customer=outcome.customer_id or None,
            credits=credits_text(grants) if grants else None,
            rules=sorted({rule for grant in grants for rule in grant.rules}) or None,
            reason=None if grants else outcome.reason or None,
        )


def _level(outcome: Outcome) -> int:
    if outcome.status is Status.FAILED:
        return logging.ERROR
    if outcome.status is Status.WAITING:
        # Of a pause one line tells already; a delivery that alone goes wrong has none but this.
        return logging.WARNING if outcome.strike else logging.DEBUG
    return logging.INFO
