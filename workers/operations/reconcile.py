"""The reconciler: a backfill that nobody has to think of, every so often, on one host at a time."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError

from config.rulebook import Rulebook
from config.rules import Rules
from workers.core.delivery import Outcome, Status
from workers.core.wording import credits_text
from workers.errors import PolarError
from workers.operations.backfill.run import LEDGER_LOST, Backlog, Mender
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.counts import Tally, write_down
from workers.store.redis_errors import words_of

log = structlog.get_logger(__name__)

NEEDS_CREDIT_FROM = (
    "CREDITS_RECONCILE_EVERY needs credit_from in the rules: without it orders that somebody else credited "
    "before you went live would be credited again"
)

_LOOK_SECONDS = 2.0  # how late a round may be, and how soon a changed rules file is noticed
_LEAST_LOOKED_BACK = timedelta(days=2)  # an outage over a weekend's night is still found at the next round
_TRY_AGAIN = timedelta(minutes=5)  # after a round that Polar did not let us finish
_LONGEST_ROUND = timedelta(minutes=10)  # should its host die, another begins after this at the earliest
_MOST_NAMED = 10  # orders in one line of the log; `credits backfill --dry-run` names them all


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """Looks back every so often, and grants what is missing."""

    redis: Redis
    mender: Mender
    granter: Granter
    rulebook: Rulebook
    tally: Tally
    every: timedelta

    def work(self) -> None:
        """Work until the process ends, through every outage of Redis."""
        away_since: float | None = None
        while True:
            try:
                self.look()
                if away_since is not None:
                    log.info("Redis is back", away_seconds=round(time.monotonic() - away_since, 1))
                away_since = None
            except RedisError as error:
                if away_since is None:
                    away_since = time.monotonic()
                    log.warning("Redis is away: waiting for it", reason=words_of(error))
                self.redis.connection_pool.disconnect()
            time.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Do a round if it is time for one, and nobody else has begun it."""
        self.rulebook.look()
        if not self.redis.set(keys.RECONCILED, 1, nx=True, px=max(self.every, _LONGEST_ROUND)):
            return
        next_in = self.every
        try:
            self._round(self.rulebook.current())
        except PolarError as error:
            log.warning("reconciling broke off", reason=str(error))
            next_in = min(self.every, _TRY_AGAIN)
        self.redis.pexpire(keys.RECONCILED, next_in)
        with self.tally.taken() as counts:  # a round that finds nothing settles nothing
            write_down(self.redis, counts)

    def _round(self, rules: Rules) -> None:
        if rules.credit_from is None:
            log.error("not reconciling", reason=NEEDS_CREDIT_FROM)
            return
        now = datetime.now(UTC)
        if self.mender.is_ledger_lost(now):
            log.error("not reconciling", reason=LEDGER_LOST)
            return
        since = now - max(2 * self.every, _LEAST_LOOKED_BACK)
        backlog = self.mender.look(rules, since=since, until=now, now=now, only_untold=True)
        outcomes = [one for batch in self.mender.grant(backlog, self.granter) for one in batch]
        if outcomes or not backlog.is_empty:
            _tell(backlog, outcomes)


def _tell(backlog: Backlog, outcomes: list[Outcome]) -> None:
    granted = {one.order_id for one in outcomes if one.status is Status.GRANTED}
    missing = [one for order_id, one in backlog.review.missing.items() if order_id in granted]
    told: dict[str, Any] = {
        "granted": len(granted) or None,
        "credits": credits_text(grant for one in missing for grant in one.grants) if missing else None,
        "not_granted": [f"{one.order_id}: {one.reason}" for one in outcomes if one.order_id not in granted],
        "cannot_be_worked_out": [f"{one.order_id}: {one.why}" for one in backlog.review.failing],
        "rest_on_today": [f"{one.order_id}: {one.why}" for one in backlog.review.unsure],
    }
    named = {name: what[:_MOST_NAMED] if isinstance(what, list) else what for name, what in told.items()}
    is_wrong = any(isinstance(what, list) and what for what in named.values())
    tell = log.warning if is_wrong else log.info
    tell("reconciled", **{name: what for name, what in named.items() if what})
