"""The reconciler: a backfill that nobody has to think of, every so often, on one host at a time."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from config.rulebook import Rulebook
from config.rules import Rules
from workers.core.delivery import Outcome, Status
from workers.core.wording import credits_text
from workers.errors import PolarError
from workers.operations.backfill.run import Backfiller, Backlog
from workers.operations.rebuild.lost_ledger import LEDGER_LOST, is_ledger_lost
from workers.pipeline.granter import Granter
from workers.store.outage import RedisOutage
from workers.store.schedule import ReconcileSchedule
from workers.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)

NEEDS_CREDIT_FROM = (
    "CREDITS_RECONCILE_EVERY needs credit_from in the rules: without it orders that somebody else credited "
    "before you went live would be credited again"
)

_LEAST_LOOKED_BACK = timedelta(days=2)  # an outage over a weekend's night is still found at the next round
_TRY_AGAIN = timedelta(minutes=5)  # after a round that Polar did not let us finish
_LONGEST_ROUND = timedelta(minutes=10)  # should its host die, another begins after this at the earliest
_MOST_NAMED = 10  # orders in one line of the log; `credits backfill --dry-run` names them all


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """Looks back every so often, and grants what is missing."""

    schedule: ReconcileSchedule
    backfiller: Backfiller
    granter: Granter
    rulebook: Rulebook
    every: timedelta
    timings: Timings = DEFAULT_TIMINGS

    def run_forever(self) -> None:
        """Work until the process ends, through every outage of Redis."""
        outage = RedisOutage(self.timings)
        while True:
            seconds = outage.run(self.run_if_due, reconnect=self.schedule.reconnect)
            time.sleep(seconds or self.timings.reconcile_check_seconds)

    def run_if_due(self) -> None:
        """Do a round if it is time for one, and nobody else has begun it."""
        self.rulebook.reload_if_changed()
        if not self.schedule.begin(at_most=max(self.every, _LONGEST_ROUND)):
            return
        next_in = self.every
        try:
            self._round(self.rulebook.current())
        except PolarError as error:
            log.warning("reconciliation interrupted", reason=str(error))
            next_in = min(self.every, _TRY_AGAIN)
        self.schedule.end(next_in=next_in)

    def _round(self, rules: Rules) -> None:
        if rules.credit_from is None:
            log.error("reconciliation skipped", reason=NEEDS_CREDIT_FROM)
            return
        now = datetime.now(UTC)
        if is_ledger_lost(self.backfiller.ledger, self.backfiller.polar, self.backfiller.pacer, now=now):
            log.error("reconciliation skipped", reason=LEDGER_LOST)
            return
        since = now - max(2 * self.every, _LEAST_LOOKED_BACK)
        backlog = self.backfiller.find_missing(rules, since=since, until=now, now=now, skip_settled=True)
        outcomes = [one for batch in self.backfiller.grant(backlog, self.granter) for one in batch]
        if outcomes or not backlog.is_empty:
            _tell(backlog, outcomes)


def _tell(backlog: Backlog, outcomes: list[Outcome]) -> None:
    granted = {one.order_id for one in outcomes if one.status is Status.GRANTED}
    missing = [one for order_id, one in backlog.scan.missing.items() if order_id in granted]
    told: dict[str, Any] = {
        "granted": len(granted) or None,
        "credits": credits_text(grant for one in missing for grant in one.grants) if missing else None,
        "not_granted": [f"{one.order_id}: {one.reason}" for one in outcomes if one.order_id not in granted],
        "not_computable": [f"{one.order_id}: {one.reason}" for one in backlog.scan.failing],
        "needs_review": [f"{one.order_id}: {one.reason}" for one in backlog.scan.needs_review],
    }
    named = {name: what[:_MOST_NAMED] if isinstance(what, list) else what for name, what in told.items()}
    is_wrong = any(isinstance(what, list) and what for what in named.values())
    log_line = log.warning if is_wrong else log.info
    log_line("reconciled", **{name: what for name, what in named.items() if what})
