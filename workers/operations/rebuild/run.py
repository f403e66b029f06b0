"""Reads our own usage events back from Polar into the ledger, after Redis was lost."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from msgspec import Struct, field

from config.rules import Rules
from workers.core.batches import in_batches
from workers.core.claims import REBUILD, Standing
from workers.core.grants import Grant, order_of, order_subject
from workers.core.next_instalments import NextInstalment, next_instalment
from workers.core.order_refunds import refund_of
from workers.core.payloads import read_order
from workers.core.plans import Plan
from workers.core.recorded_grants import RecordedGrant
from workers.core.schedule import PaidPeriod
from workers.core.takebacks import has_open_take_backs, is_reversal_incomplete, reversals
from workers.core.usage_events import GRANTED_BY
from workers.operations.backfill.order_scan import webhook_of
from workers.operations.pacing import OnProgress, Pacer
from workers.operations.rebuild.comparison import Facts, LedgerComparison
from workers.operations.rebuild.corrections import correction, restoration
from workers.operations.spool import Spool
from workers.pipeline.leases import following_instalments
from workers.polar.client import Polar
from workers.polar.lists import Row, events, orders
from workers.store.ledger import Ledger
from workers.store.restorations import RestorationStore
from workers.timings import DEFAULT_TIMINGS, Timings

_AT_ONCE = 200  # facts in one script, during which Redis serves nobody else

# Polar's clock may be ahead of ours, and no recent event may be missed.
_CLOCK_MARGIN = timedelta(days=1)

_BEFORE_ALL = datetime(2023, 1, 1, tzinfo=UTC)  # Polar has had no events as early as that


class RebuildResult(Struct, kw_only=True):
    """What a rebuild changed, and what it leaves to do."""

    grants: int = 0
    """How many missing grants it wrote to the ledger."""
    corrected: int = 0
    """How many grants got Polar's amount."""
    changed: Facts = field(default_factory=Facts)
    """Facts that were claimed or taken back in the meantime: run a second rebuild for them."""
    refund_pending: Facts = field(default_factory=Facts)
    """Facts whose refund arrived before they were restored and has taken nothing back yet.

    If the rebuild is complete, the workers take it back.
    """
    refund_incomplete: Facts = field(default_factory=Facts)
    """Facts whose last refund took back less than its share of what the ledger has now."""


class Rebuilder(Struct, frozen=True, kw_only=True):
    """Compares the ledger with our usage events at Polar, and writes what is missing or wrong."""

    store: RestorationStore
    ledger: Ledger
    polar: Polar
    pacer: Pacer
    timings: Timings = DEFAULT_TIMINGS

    def compare(
        self, rules: Rules, *, now: datetime, on_progress: OnProgress, since: datetime | None = None
    ) -> LedgerComparison:
        """Read all our usage events, or those ``since`` a moment, and compare them with the ledger.

        It writes nothing.
        """
        spool = Spool()
        found = LedgerComparison(
            rules=rules,
            missing=spool.mapping(dict[str, RecordedGrant]),
            orders_with_instalments=spool.mapping(PaidPeriod | None),
            units=spool.mapping(Decimal),
            taken=spool.mapping(Decimal),
            adjusted=spool.mapping(Decimal),
        )
        listing = events(
            metadata={"granted_by": GRANTED_BY}, since=since or _BEFORE_ALL, before=now + _CLOCK_MARGIN
        )
        lag_seconds = self.timings.events_lag_seconds
        reading = self.pacer.read_in_slices(self.polar, listing, seen=spool.set(), lag_seconds=lag_seconds)
        for rows in self.pacer.rows(reading, scope="events:read", on_progress=on_progress):
            found.add(rows, self._standings)
        found.total, found.not_listed, found.gaps = reading.total, reading.missing, reading.gaps
        found.is_growing = reading.is_growing
        found.exclude_doubtful(self._standings)
        self._read_refunds(found, now)
        return found

    def _read_refunds(self, found: LedgerComparison, now: datetime) -> None:
        """Read refunds of orders whose instalments go on: one that took nothing has left no event."""
        running = {
            order_of(fact): period
            for fact, period in found.orders_with_instalments.items()
            if fact in found.missing and period and period.end > now
        }
        if not running:
            return
        starts = [period.start for period in running.values()]
        listing = orders(created_after=min(starts) - _CLOCK_MARGIN, created_before=now + _CLOCK_MARGIN)
        for rows in self.pacer.rows(self.pacer.read_in_slices(self.polar, listing), scope="orders:read"):
            for row in rows:
                if row.get("id") in running:
                    self._note_refund(found, row, now)

    def _note_refund(self, found: LedgerComparison, row: Row, now: datetime) -> None:
        order = read_order(webhook_of(row, now)).view
        if refund := refund_of(order):
            plan = Plan(
                subject=order_subject(order.id),
                customer_id=order.customer_id,
                order_id=order.id,
                refund=refund,
            )
            found.refunds[plan.subject] = plan

    def restore(
        self, found: LedgerComparison, *, on_progress: OnProgress, since: datetime | None = None
    ) -> RebuildResult:
        """Write the corrections, then what is missing; skip facts that were claimed in the meantime."""
        done = RebuildResult(
            refund_pending=Facts(found.refund_pending), refund_incomplete=Facts(found.refund_incomplete)
        )
        corrections = found.corrections
        total, number = len(corrections) + len(found.missing), 0
        for some in in_batches(corrections, _AT_ONCE):
            self._correct({fact: corrections[fact] for fact in some}, found.rules, done)
            on_progress(number := number + len(some), total)
        for some in in_batches(found.missing, _AT_ONCE):
            self._write(some, found, done)
            on_progress(number := number + len(some), total)
        self.store.extend_audit()
        is_complete = not (done.changed or found.not_listed or found.is_growing)
        if is_complete:
            # Only now: with a take-back of Polar's missing, a refund would take its credits again.
            self._confirm(found.confirmed)
            self._settle(found.claimed)
        self._go_on(found)  # after the settlements, or it would begin again what they settle
        if is_complete:
            for some in in_batches(done.refund_pending, _AT_ONCE):
                self.store.queue_take_backs(some)
            self.store.end_loss(since=since)
        return done

    def _go_on(self, found: LedgerComparison) -> None:
        """Put the next instalment of each order into the set of those to come, where it is not there yet."""
        for some in in_batches(found.orders_with_instalments, _AT_ONCE):
            following = [one for standing in self._standings(some) for one in _following(standing)]
            self.store.begin_instalments(following)

    def _correct(self, wrong: Mapping[str, Sequence[Grant]], rules: Rules, done: RebuildResult) -> None:
        found = (correction(wrong[one.subject], one, rules) for one in self._standings(list(wrong)))
        todo = [one for one in found if one]
        corrected = {
            one.subject: len(one.grants)
            for one, is_done in zip(todo, self.store.correct(todo), strict=True)
            if is_done
        }
        done.corrected += sum(corrected.values())
        done.changed.add(fact for fact in wrong if fact not in corrected)
        for one in self._standings(list(corrected)):
            if has_open_take_backs(one):
                done.refund_pending.add([one.subject])
            if is_reversal_incomplete(one):
                done.refund_incomplete.add([one.subject])

    def _settle(self, grants: Sequence[Grant]) -> None:
        """Settle what Polar has: a dismissed claim is not sent again, so nothing else would settle it."""
        for some in in_batches(grants, _AT_ONCE):
            facts = dict.fromkeys(
                order_subject(one.order_id) if one.order_id else one.subject for one in some
            )
            following = following_instalments({one.subject: one for one in self._standings(list(facts))})
            self.ledger.settle(some, [], (), following)

    def _confirm(self, grants: Sequence[Grant]) -> None:
        for some in in_batches(grants, _AT_ONCE):
            self.store.confirm(some)

    def _write(self, facts: Sequence[str], found: LedgerComparison, done: RebuildResult) -> None:
        # Before the next instalment is begun: a full refund ends them.
        if noted := [(REBUILD, found.refunds[fact]) for fact in facts if fact in found.refunds]:
            self.ledger.claim(noted)
        standings = self._standings(facts)
        missing = {fact: found.missing[fact] for fact in facts}
        todo = {
            fact: one
            for fact, standing in zip(facts, standings, strict=True)
            if (one := restoration(fact, missing[fact].values(), standing, found.rules))
        }
        written = self.store.restore(list(todo.values()))
        restored = {fact: todo[fact].count for fact, is_whole in zip(todo, written, strict=True) if is_whole}
        done.grants += sum(restored.values())
        done.changed.add(fact for fact in facts if restored.get(fact) != len(missing[fact]))
        done.refund_pending.add(self._refunds_pending(standings))

    def _standings(self, subjects: Sequence[str]) -> list[Standing]:
        return [
            standing for some in in_batches(subjects, _AT_ONCE) for standing in self.ledger.find_many(some)
        ]

    def _refunds_pending(self, before: Sequence[Standing]) -> list[str]:
        """Return the facts whose refund was noted before they were credited and has something to take now."""
        noted = [standing.subject for standing in before if standing.refund or standing.disputes]
        return [one.subject for one in self._standings(noted) if reversals(one, REBUILD)]


def _following(standing: Standing) -> Iterator[NextInstalment]:
    """Yield the instalment that follows the last one that Polar has, on each meter."""
    settled = {
        grant.meter: grant
        for claim in (*([standing.own] if standing.own else []), *standing.instalments)
        for grant in claim.grants
        if grant.meter in claim.settled
    }  # by meter: the last one, because instalments are in the order of their numbers
    found = (next_instalment(standing, grant) for grant in settled.values())
    return (one for one in found if one and one.meter not in standing.ended)
