"""Compares our usage events at Polar with the ledger: what the ledger lacks, and what differs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from config.rules import Rules
from workers.core.adjusted import credited
from workers.core.claims import REBUILD, Claim, Standing
from workers.core.confirmations import is_same_credit
from workers.core.grants import (
    Grant,
    customer_subject,
    grant_key,
    has_own_delivery,
    is_adjustment,
    is_correction,
    is_instalment,
    is_take_back,
    order_subject,
)
from workers.core.plans import Plan
from workers.core.recorded_grants import InvalidUsageEvent, RecordedGrant
from workers.core.schedule import PaidPeriod
from workers.core.takebacks import has_open_take_backs, is_reversal_incomplete
from workers.core.usage_events import Row, is_marked_ours, read_usage_event

_DUPLICATE_KEY = "another event has the same key"

FindStandings = Callable[[Sequence[str]], Sequence[Standing]]
"""Reads the ledger's standing of each of the given subjects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A grant whose amount or customer differs between Polar and the ledger."""

    grant: Grant
    """The grant at Polar, which cannot be changed."""
    ledger: Grant | None
    """The grant in the ledger; None if the claim of its fact has no grant on this meter."""
    kept_because: str
    """Why the ledger keeps its own version; empty if it gets Polar's amount."""


@dataclass(kw_only=True)
class LedgerComparison:
    """The usage events read so far, compared with the ledger."""

    rules: Rules
    total: int = 0
    """How many events Polar counts."""
    not_listed: int = 0
    """How many of those it does not list, in any order or page size."""
    gaps: Mapping[datetime, int] = field(default_factory=dict)
    """How many events it does not list, by the moment at which it received them, as far as that is known."""
    is_growing: bool = False
    """Whether Polar still received events when the reading ended."""
    read: int = 0
    """How many events are marked as ours."""
    matching: int = 0
    """Grants that are settled in the ledger as they are at Polar."""
    confirmed: list[Grant] = field(default_factory=list)
    """Those of them that were unconfirmed."""
    claimed: list[Grant] = field(default_factory=list)
    """Grants that are claimed in the ledger but not settled."""
    missing: dict[str, dict[str, RecordedGrant]] = field(default_factory=dict)
    """Grants that the ledger lacks, by fact and then by key, oldest first."""
    differing: list[Difference] = field(default_factory=list)
    invalid: list[InvalidUsageEvent] = field(default_factory=list)
    """Events that are marked as ours, but that we cannot have sent."""
    refund_pending: list[str] = field(default_factory=list)
    """Facts whose known refund has taken nothing back yet, as after an earlier rebuild."""
    orders_with_instalments: dict[str, PaidPeriod | None] = field(default_factory=dict)
    """The facts of orders with instalments, with their period where the event of the order was read."""
    refunds: dict[str, Plan] = field(default_factory=dict)
    """The refunds of such orders that the ledger lacks, as plans that only note them, by fact."""
    refund_incomplete: list[str] = field(default_factory=list)
    """Facts whose last refund took back less than its share of what the ledger has now."""
    _units: dict[str, Decimal] = field(default_factory=dict)
    """The units of each key, by its first event."""
    _duplicate_keys: set[str] = field(default_factory=set)
    """Keys that several events have: all but one of those events came from somebody else."""
    _taken: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    _adjusted: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def add(self, rows: Sequence[Row], find_standings: FindStandings) -> None:
        """Add some of Polar's events, each of which comes once."""
        events = [read_usage_event(row) for row in rows if is_marked_ours(row)]
        self.read += len(events)
        self.invalid += [one for one in events if isinstance(one, InvalidUsageEvent)]
        recorded_grants = [one for one in events if isinstance(one, RecordedGrant) and self._is_first(one)]
        standings = find_standings([one.grant.subject for one in recorded_grants]) if recorded_grants else []
        for recorded, standing in zip(recorded_grants, standings, strict=True):
            self._classify(recorded, standing)

    def exclude_doubtful(self, find_standings: FindStandings) -> None:
        """Exclude what is not certain, once every event is read.

        These are take-backs of something never granted, and keys that several events have.
        """
        nothing = Standing(subject="")
        doubtful = [fact for fact, some in self.missing.items() if _baseless(some, nothing)]
        for fact, standing in zip(doubtful, find_standings(doubtful), strict=True):
            recorded_grants = self.missing[fact]
            for recorded in _baseless(recorded_grants, standing):
                del recorded_grants[recorded.grant.key]
                verb = "adjusts" if is_adjustment(recorded.grant.subject) else "takes back"
                self._add_invalid(recorded, f"neither Polar nor the ledger has the grant that it {verb}")
            if not recorded_grants:
                del self.missing[fact]
        self.differing = [
            replace(one, kept_because=one.kept_because or _DUPLICATE_KEY)
            if one.grant.key in self._duplicate_keys
            else one
            for one in self.differing
        ]

    @property
    def grants(self) -> list[Grant]:
        """Return every grant that the ledger lacks."""
        return [
            recorded.grant
            for recorded_grants in self.missing.values()
            for recorded in recorded_grants.values()
        ]

    @property
    def corrections(self) -> dict[str, list[Grant]]:
        """Return the grants that get Polar's amount, by fact; a take-back counts for its order."""
        found: dict[str, list[Grant]] = {}
        for one in self.differing:
            if not one.kept_because:
                found.setdefault(_fact_counted_for(one.grant), []).append(one.grant)
        return found

    @property
    def kept(self) -> list[Difference]:
        """Return the differences in which the ledger keeps its own version."""
        return [one for one in self.differing if one.kept_because]

    @property
    def over_reversed(self) -> dict[tuple[str, str], Decimal]:
        """Return, by order and meter, how much more was taken back at Polar than had been granted there."""
        excess = {at: taken - units for at, taken in self._taken.items() if (units := self._given(at))}
        return {at: units for at, units in excess.items() if units > 0}

    def _given(self, at: tuple[str, str]) -> Decimal | None:
        """Return what Polar has of an order's credits on a meter, adjustments included; None if nothing."""
        own, adjusted = self._units.get(grant_key(order_subject(at[0]), at[1])), self._adjusted.get(at)
        return None if own is None and adjusted is None else (own or Decimal(0)) + (adjusted or Decimal(0))

    def _is_first(self, recorded: RecordedGrant) -> bool:
        """Return whether it is the first event with its key, and note its units; only the first counts."""
        grant = recorded.grant
        if grant.key in self._units:
            self._duplicate_keys.add(grant.key)
            self._add_invalid(recorded, _DUPLICATE_KEY)
            return False
        self._units[grant.key] = grant.units
        if grant.period:
            self.orders_with_instalments[grant.subject] = grant.period
        elif is_instalment(grant.subject):
            self.orders_with_instalments.setdefault(order_subject(grant.order_id or ""), None)
        at = (grant.order_id or "", grant.meter)
        if is_take_back(grant.subject):
            self._taken[at] = self._taken.get(at, Decimal(0)) - grant.units
        elif is_adjustment(grant.subject) or is_instalment(grant.subject):
            self._adjusted[at] = self._adjusted.get(at, Decimal(0)) + grant.units
        return True

    def _classify(self, recorded: RecordedGrant, standing: Standing) -> None:
        grant, own = recorded.grant, standing.own
        frozen = {one.meter: one for one in own.grants}.get(grant.meter) if own else None
        if own is None or (frozen is None and own.delivery_id == REBUILD):
            self._add_missing(recorded, own)
        elif frozen is None or not is_same_credit(frozen, grant):
            reason = why_kept(grant, frozen, own)
            self.differing.append(Difference(grant=grant, ledger=frozen, kept_because=reason))
        elif grant.meter in own.settled:
            self.matching += 1
            self.confirmed += [frozen] if grant.meter in own.unconfirmed else []
        else:
            self.claimed.append(frozen)
        if has_open_take_backs(standing) and standing.subject not in self.refund_pending:
            self.refund_pending.append(standing.subject)
        if is_reversal_incomplete(standing) and standing.subject not in self.refund_incomplete:
            self.refund_incomplete.append(standing.subject)

    def _add_missing(self, recorded: RecordedGrant, own: Claim | None) -> None:
        grant = recorded.grant
        # A grant that joins a claim restored earlier is linked to that claim and listed with it.
        fact = grant.subject if own and not is_correction(grant.subject) else self._fact_of(grant)
        self.missing.setdefault(fact, {})[grant.key] = recorded

    def _add_invalid(self, recorded: RecordedGrant, why: str) -> None:
        self.invalid.append(InvalidUsageEvent(event_id=recorded.event_id, key=recorded.grant.key, why=why))

    def _fact_of(self, grant: Grant) -> str:
        """Return the fact a grant belongs to: every grant of a fact is restored together."""
        if grant.order_id is not None:
            return order_subject(grant.order_id)
        if grant.subject != customer_subject(grant.customer_id, grant.parts[0].rule):
            return grant.subject
        # A bonus does not name its fact: it is restored on its own.
        bonuses = {rule.name for rule in self.rules.rules if rule.once_per_customer}
        return grant.subject if grant.parts[0].rule in bonuses else customer_subject(grant.customer_id)


def is_order_grant(grant: Grant) -> bool:
    """Return whether the grant is an order's own, not a bonus or a take-back."""
    return grant.order_id is not None and grant.subject == order_subject(grant.order_id)


def why_kept(grant: Grant, frozen: Grant | None, own: Claim) -> str:
    """Return why ``own`` keeps its ``frozen`` grant instead of Polar's; empty if it gets Polar's amount."""
    if frozen is None:
        return "its claim has no grant on this meter"
    if frozen.customer_id != grant.customer_id:
        return "the ledger names another customer"
    return "" if grant.meter in own.settled else "its delivery is not settled yet"


def _fact_counted_for(grant: Grant) -> str:
    return order_subject(grant.order_id or "") if has_own_delivery(grant.subject) else grant.subject


def _baseless(recorded_grants: Mapping[str, RecordedGrant], standing: Standing) -> list[RecordedGrant]:
    """Return the take-backs of what was never credited, and the adjustments of orders that never were."""
    grants = [one.grant for one in recorded_grants.values()]
    is_known = standing.own is not None or not all(is_correction(one.subject) for one in grants)
    meters = {one.meter for one in credited(standing)}
    meters |= {one.meter for one in grants if is_order_grant(one) or is_adjustment(one.subject)}
    return [
        one
        for one in recorded_grants.values()
        if (is_take_back(one.grant.subject) and one.grant.meter not in meters)
        or (is_adjustment(one.grant.subject) and not is_known)
    ]
