"""The reconciler: runs a backfill at regular intervals, on one host at a time."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Protocol

from msgspec import Struct

from config.log import get_log
from config.rulebook import Rulebook
from config.rules import Rules
from workers.core.delivery import Outcome, Status
from workers.core.look_back import reconciled_since
from workers.core.reconciling import NEEDS_CREDIT_FROM, needs_disputes, wants_disputes
from workers.core.wording import credits_text
from workers.errors import PolarDeniedError, PolarError
from workers.operations.backfill.run import Backfiller, Backlog
from workers.operations.disputes import DisputeFinder
from workers.operations.rebuild.lost_ledger import LEDGER_LOST, is_ledger_lost
from workers.operations.spool import Spool, SpooledList
from workers.operations.temporary_files import TemporaryFileError, describe_temporary_file
from workers.pipeline.granter import Granter
from workers.store.schedule import ReconcileSchedule

log = get_log(__name__)

_NOT_LISTED = "{} that Polar counts: `credits backfill` says from when they are"
_OLDER = "{} created before a worker first ran here: `credits backfill` previews and grants them"

_RETRY_AFTER = timedelta(minutes=5)  # after a round that Polar or a full disk interrupted
_LONGEST_ROUND = timedelta(minutes=10)  # if the host of a round dies, the next round waits this long
_MOST_LOGGED = 10  # orders in one log field; `credits backfill --dry-run` lists all of them


class _WithReason(Protocol):
    @property
    def order_id(self) -> str: ...
    @property
    def reason(self) -> str: ...


class Reconciler(Struct, frozen=True, kw_only=True):
    """Finds orders that were never credited, at regular intervals, and credits them."""

    schedule: ReconcileSchedule
    backfiller: Backfiller
    granter: Granter
    rulebook: Rulebook
    every: timedelta
    only_with_credit_from: bool = False
    """Whether it does nothing by rules without ``credit_from``, because nobody has set an interval."""

    def run_if_due(self) -> None:
        """Run a round if one is due and no other host has begun it."""
        self.rulebook.reload_if_changed()
        if self.only_with_credit_from and self.rulebook.current().credit_from is None:
            return
        if not self.schedule.begin(at_most=max(self.every, _LONGEST_ROUND)):
            return
        next_in, problem = self.every, ""
        try:
            self._round(self.rulebook.current())
        except PolarError as error:
            log.warning("reconciliation interrupted", reason=str(error))
            next_in = min(self.every, _RETRY_AFTER)
        except TemporaryFileError as error:
            problem = describe_temporary_file(error)
            log.warning("reconciliation interrupted", reason=problem)
            next_in = min(self.every, _RETRY_AFTER)
        self.schedule.end(next_in=next_in, problem=problem)

    def _round(self, rules: Rules) -> None:
        needs_them = self.schedule.looks_for_disputes(needed=needs_disputes(rules))
        if rules.credit_from is None and not needs_them and not wants_disputes(rules):
            log.error("reconciliation skipped", reason=NEEDS_CREDIT_FROM)
            return
        now = datetime.now(UTC)
        if is_ledger_lost(self.backfiller.ledger, self.backfiller.polar, self.backfiller.pacer, now=now):
            log.error("reconciliation skipped", reason=LEDGER_LOST)
            return
        if rules.credit_from is not None:
            self._grant_missing(rules, now)
        if needs_them:
            self._take_back_disputed()
        elif wants_disputes(rules):
            self._end_disputed_instalments()

    def _grant_missing(self, rules: Rules, now: datetime) -> None:
        backlog = self.backfiller.find_missing(
            rules,
            since=now - reconciled_since(self.every),
            until=now,
            now=now,
            by_itself_from=self.backfiller.ledger.began_at() or now,
        )
        outcomes: SpooledList[Outcome] = Spool().list(Outcome)
        for batch in self.backfiller.grant(backlog, self.granter):
            for one in batch:
                outcomes.append(one)
        if outcomes or not backlog.is_empty:
            _log_round(backlog, outcomes)

    def _end_disputed_instalments(self) -> None:
        """Look for disputes that only end instalments; the token may lack the scope for that."""
        try:
            self._take_back_disputed()
        except PolarDeniedError as error:
            log.warning("lost disputes not looked for: they end no instalments", reason=str(error))

    def _take_back_disputed(self) -> None:
        parts = self.backfiller
        finder = DisputeFinder(store=parts.store, ledger=parts.ledger, polar=parts.polar, pacer=parts.pacer)
        found = finder.find_new()
        outcomes = [one for some in finder.take_back(found, self.granter) for one in some]
        if outcomes or found.unreadable:
            _log_disputes(outcomes, found.unreadable)


def _log_disputes(outcomes: list[Outcome], unreadable: list[str]) -> None:
    failed = [f"{one.delivery_id}: {one.reason}" for one in outcomes if one.status is Status.FAILED]
    review = [*failed, *unreadable]
    write = log.warning if review else log.info
    write(
        "lost disputes found",
        disputes=len(outcomes),
        took_back=sum(one.status is Status.GRANTED for one in outcomes) or None,
        **({"needs_review": review[:_MOST_LOGGED]} if review else {}),
    )


def _log_round(backlog: Backlog, outcomes: Collection[Outcome]) -> None:
    granted = Spool().set()
    for one in outcomes:
        if one.status is Status.GRANTED:
            granted.add(one.order_id)
    missing = backlog.scan.missing
    credits_ = credits_text(grant for id_ in granted if id_ in missing for grant in missing[id_].grants)
    problems = {
        "not_granted": _first(one for one in outcomes if one.order_id not in granted),
        "not_computable": _first(backlog.scan.failing),
        "needs_review": _first(backlog.scan.needs_review),
        "not_listed": [_NOT_LISTED.format(backlog.not_listed)] if backlog.not_listed else [],
        "left_to_backfill": [_OLDER.format(backlog.scan.older)] if backlog.scan.older else [],
    }
    write = log.warning if any(problems.values()) else log.info
    write(
        "reconciled",
        granted=len(granted) or None,
        credits=credits_ if any(id_ in missing for id_ in granted) else None,
        **{name: lines for name, lines in problems.items() if lines},
    )


def _first(orders: Iterable[_WithReason]) -> list[str]:
    return [f"{one.order_id}: {one.reason}" for one in islice(orders, _MOST_LOGGED)]
