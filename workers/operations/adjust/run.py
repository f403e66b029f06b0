"""Finds the credited orders to which a rule gave another amount than it says today, and adjusts them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice

from msgspec import Struct

from config.rules import ORDER_TRIGGERS, Rule, Rules
from config.wording import describe_unknown, joined
from workers.core.adjustments import UNKNOWN_SHARE, why_left_alone
from workers.core.batches import in_batches
from workers.core.claims import Entry, Standing
from workers.core.delivery import Delivery, Leased, Outcome, Status
from workers.core.envelope import ORDER_PAID
from workers.core.grants import is_order_subject, order_of, order_subject
from workers.core.look_back import PAID_WITHIN
from workers.core.outcomes import NEEDS_REVIEW
from workers.errors import GranterError
from workers.operations.adjust.scan import (
    UNKNOWN_AT_POLAR,
    AdjustedOrder,
    AdjustScan,
    Candidate,
    SkippedOrder,
)
from workers.operations.backfill.order_scan import webhook_of
from workers.operations.batch_runs import run_batches
from workers.operations.confirm import Confirmer
from workers.operations.pacing import OnProgress, Pacer, ignore_progress
from workers.operations.spool import Spool, SpooledList, SpooledMapping, SpooledSet
from workers.pipeline.granter import Granter
from workers.polar.client import Polar
from workers.polar.lists import orders
from workers.polar.responses import needs
from workers.store.audit import Audit
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

_UNCONFIRMED = (
    "Polar had its adjustment before, and does not list it yet, or with another amount (`credits status`)"
)

_AT_ONCE = 200  # orders whose standings are read in one step
_MOST_READ = 10_000  # deliveries that are not settled; to read them takes about a second


class RuleNotAdjustableError(GranterError):
    """No rule has this name, or its credits do not come from orders alone."""


def adjustable_rule(name: str, rules: Rules) -> Rule:
    """Return the rule with this name; RuleNotAdjustableError says why there is none that can be adjusted."""
    names = [one.name for one in rules.rules]
    rule = next((one for one in rules.rules if one.name == name), None)
    if rule is None:
        raise RuleNotAdjustableError(describe_unknown("rule", name, names, f"the rules are {joined(names)}"))
    if rule.once_per_customer:
        text = (
            f"rule {name} has once_per: customer: its bonuses do not belong to an order, and are not adjusted"
        )
        raise RuleNotAdjustableError(text)
    if not rule.triggers & ORDER_TRIGGERS:
        triggers = " and ".join(sorted(rule.triggers))
        text = f"rule {name} credits {triggers}, not orders: only what a rule gave orders can be adjusted"
        raise RuleNotAdjustableError(text)
    return rule


class Adjuster(Struct, frozen=True, kw_only=True):
    """Plans and runs adjustments."""

    store: DeliveryStore
    ledger: Ledger
    audit: Audit
    pacer: Pacer

    def find(
        self,
        rule: Rule,
        rules: Rules,
        *,
        since: datetime,
        until: datetime,
        polar: Polar | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> AdjustScan:
        """Return what adjusting the orders credited since ``since`` and before ``until`` would do.

        An order whose webhook is not stored is skipped, or planned as ``polar`` shows it today.
        """
        scan = AdjustScan(rules=rules, rule=rule)
        credited = self._credited_orders(since, until)
        uncredited = self._uncredited(since, credited)
        count = len(credited) + len(uncredited)
        unstored = Spool().set()
        for some in in_batches(chain(reversed(credited), uncredited), _AT_ONCE):
            for one in self._candidates([one for one in self.ledger.find_many(some) if one.own]):
                if polar and _is_to_be_read(one, rule):
                    unstored.add(one.standing.subject)
                else:
                    scan.add(one)
            on_progress(scan.read, count)
        if polar and unstored:
            for one in self._seen_today(unstored, polar, since - PAID_WITHIN, until):
                scan.add(one)
                on_progress(scan.read, count)
        return scan

    def run(self, scan: AdjustScan, granter: Granter) -> Iterator[list[Outcome]]:
        """Store the requests as deliveries and run them; yield the outcomes of each batch.

        What an interrupted run has left comes first.
        """
        batches = partial(run_batches, pacer=self.pacer, granter=granter, store=self.store)
        return chain(batches(scan.interrupted, self.store.reopen), batches(scan.adjusting, self._store))

    def needs_review(self, outcomes: Collection[Outcome], confirmer: Confirmer) -> Collection[SkippedOrder]:
        """Return the orders whose adjustments Polar may have had before, with other amounts.

        An adjustment that was sent again, because its answer was lost, is read back.
        """
        if next(self._doubtful(outcomes), None):
            confirmer.run_if_due()
        spool = Spool()
        reasons: SpooledMapping[str] = spool.mapping(str)
        for one in _granted(outcomes):
            if NEEDS_REVIEW in one.reason:
                reasons[one.order_id] = NEEDS_REVIEW
        for order_id in self._doubtful(outcomes):
            reasons.setdefault(order_id, _UNCONFIRMED)
        found: SpooledList[SkippedOrder] = spool.list(SkippedOrder)
        for order_id, reason in reasons.items():
            found.append(SkippedOrder(order_id=order_id, reason=reason))
        return found

    def _doubtful(self, outcomes: Iterable[Outcome]) -> Iterator[str]:
        """Yield the orders, some more than once, of which Polar may have another amount."""
        subjects = (order_subject(one.order_id) for one in _granted(outcomes))
        standings = (one for some in in_batches(subjects, _AT_ONCE) for one in self.ledger.find_many(some))
        return (order_of(one.subject) or "" for one in standings if one.unconfirmed)

    def _store(self, some: Sequence[AdjustedOrder]) -> tuple[Leased, ...]:
        return self.store.store_and_lease([one.request.delivery() for one in some])

    def _credited_orders(self, since: datetime, until: datetime) -> SpooledSet:
        """Return the subjects of the orders credited in this time, newest first."""
        found = Spool().set()
        for one in self.audit.newest(since=since):
            if _is_before(one, until) and is_order_subject(one.grant.subject):
                found.add(one.grant.subject)
        return found

    def _uncredited(self, since: datetime, credited: SpooledSet) -> Collection[str]:
        """Return the orders that are claimed but not credited at Polar yet; they are skipped, and named."""
        unsettled = self.store.newest([Status.WAITING, Status.FAILED], since=since)
        claimed = (one.subject for one in islice(unsettled, _MOST_READ) if one.type == ORDER_PAID)
        return dict.fromkeys(one for one in claimed if one and one not in credited)

    def _candidates(self, standings: Sequence[Standing]) -> Iterator[Candidate]:
        abouts = self.store.about_orders([order_of(one.subject) or "" for one in standings])
        left = [one.open_adjustment for one in standings]
        under_way = {one.id: one for one in self.store.get([one.delivery_id for one in left if one])}
        for standing, about, open_ in zip(standings, abouts, left, strict=True):
            yield Candidate(
                standing=standing,
                body=self._stored_body(standing, about),
                under_way=under_way.get(open_.delivery_id) if open_ else None,
            )

    def _stored_body(self, standing: Standing, about: Sequence[Delivery]) -> bytes:
        """Return the body of the webhook that credited the order, or of another that announced it."""
        claimer = standing.own.delivery_id if standing.own else ""
        known = [one for one in about if one.type == ORDER_PAID and not one.erased_at]
        for one in sorted(known, key=lambda each: (each.id != claimer, each.received_at)):
            if body := self.store.body(one.id):
                return body
        return b""

    def _seen_today(
        self, left: SpooledSet, polar: Polar, created_after: datetime, created_before: datetime
    ) -> Iterator[Candidate]:
        """Yield the orders as Polar shows them today: a list has most of them, others are read singly."""
        now = datetime.now(UTC)
        listing = orders(created_after=created_after, created_before=created_before)
        for rows in self.pacer.rows(self.pacer.read_in_slices(polar, listing), scope="orders:read"):
            listed = {order_subject(str(row.get("id"))): row for row in rows}
            wanted = [subject for subject in listed if subject in left]
            for standing in self.ledger.find_many(wanted):
                left.discard(standing.subject)
                body = webhook_of(listed[standing.subject], now)
                yield Candidate(standing=standing, body=body, is_seen_today=True)
        for subject in left:
            with needs("orders:read"):
                found = self.pacer.ask(partial(polar.find, f"/v1/orders/{order_of(subject)}"))
            body, standing = webhook_of(found, now) if found else b"", self.ledger.find(subject)
            yield Candidate(standing=standing, body=body, why_unknown=UNKNOWN_AT_POLAR, is_seen_today=True)


def _is_to_be_read(one: Candidate, rule: Rule) -> bool:
    return not one.body and why_left_alone(one.standing, rule.name) in {"", UNKNOWN_SHARE}


def _is_before(entry: Entry, moment: datetime) -> bool:
    return entry.granted_at is not None and entry.granted_at < moment


def _granted(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    return (one for one in outcomes if one.status is Status.GRANTED and one.order_id)
