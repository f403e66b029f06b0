"""Compares our usage events at Polar with the ledger: what the ledger lacks, and what differs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import Struct, field
from msgspec.structs import replace

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

_NOTHING = Decimal(0)

FindStandings = Callable[[Sequence[str]], Sequence[Standing]]
"""Reads the ledger's standing of each of the given subjects."""


class Facts(list[str]):
    """Facts, each once, in the order in which they were found."""

    def __init__(self, facts: Iterable[str] = ()) -> None:
        super().__init__()
        self._known: set[str] = set()
        self.add(facts)

    def add(self, facts: Iterable[str]) -> None:
        """Add those of these facts that are new."""
        new = [one for one in dict.fromkeys(facts) if one not in self._known]
        self._known.update(new)
        self += new


class Difference(Struct, frozen=True, kw_only=True):
    """A grant whose amount or customer differs between Polar and the ledger."""

    grant: Grant
    """The grant at Polar, which cannot be changed."""
    ledger: Grant | None
    """The grant in the ledger; None if the claim of its fact has no grant on this meter."""
    kept_because: str
    """Why the ledger keeps its own version; empty if it gets Polar's amount."""


class LedgerComparison(Struct, kw_only=True):
    """The usage events read so far, compared with the ledger.

    What grows with the number of events may be on disk: the mappings return copies.
    """

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
    missing: MutableMapping[str, dict[str, RecordedGrant]] = field(default_factory=dict)
    """Grants that the ledger lacks, by fact and then by key, oldest first."""
    missing_count: int = 0
    """How many they are."""
    differing: list[Difference] = field(default_factory=list)
    invalid: list[InvalidUsageEvent] = field(default_factory=list)
    """Events that are marked as ours, but that we cannot have sent."""
    refund_pending: Facts = field(default_factory=Facts)
    """Facts whose known refund has taken nothing back yet, as after an earlier rebuild."""
    orders_with_instalments: MutableMapping[str, PaidPeriod | None] = field(default_factory=dict)
    """The facts of orders with instalments, with their period where the event of the order was read."""
    refunds: dict[str, Plan] = field(default_factory=dict)
    """The refunds of such orders that the ledger lacks, as plans that only note them, by fact."""
    refund_incomplete: Facts = field(default_factory=Facts)
    """Facts whose last refund took back less than its share of what the ledger has now."""
    units: MutableMapping[str, Decimal] = field(default_factory=dict)
    """The units of each key, by its first event."""
    _duplicate_keys: set[str] = field(default_factory=set)
    """Keys that several events have: all but one of those events came from somebody else."""
    taken: MutableMapping[str, Decimal] = field(default_factory=dict)
    """What was taken back, by order and meter, separated by a line feed."""
    adjusted: MutableMapping[str, Decimal] = field(default_factory=dict)
    """What adjustments and later instalments gave, likewise."""

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
            self._exclude(fact, _baseless(self.missing[fact], standing))
        self.differing = [
            replace(one, kept_because=one.kept_because or _DUPLICATE_KEY)
            if one.grant.key in self._duplicate_keys
            else one
            for one in self.differing
        ]

    def _exclude(self, fact: str, baseless: Sequence[RecordedGrant]) -> None:
        left = self.missing[fact]
        for recorded in baseless:
            del left[recorded.grant.key]
            verb = "adjusts" if is_adjustment(recorded.grant.subject) else "takes back"
            self._add_invalid(recorded, f"neither Polar nor the ledger has the grant that it {verb}")
        self.missing_count -= len(baseless)
        if left:
            self.missing[fact] = left
        else:
            del self.missing[fact]

    def recorded(self) -> Iterator[RecordedGrant]:
        """Yield every grant that the ledger lacks."""
        return (one for recorded_grants in self.missing.values() for one in recorded_grants.values())

    def grants(self) -> Iterator[Grant]:
        """Yield every grant that the ledger lacks."""
        return (one.grant for one in self.recorded())

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
        found: dict[tuple[str, str], Decimal] = {}
        for at, taken in self.taken.items():
            order_id, _, meter = at.partition("\n")
            given = self._given(order_id, meter)
            if given and taken > given:
                found[order_id, meter] = taken - given
        return found

    def _given(self, order_id: str, meter: str) -> Decimal:
        """Return what Polar has of an order's credits on a meter, adjustments included."""
        own = self.units.get(grant_key(order_subject(order_id), meter), _NOTHING)
        return own + self.adjusted.get(f"{order_id}\n{meter}", _NOTHING)

    def _is_first(self, recorded: RecordedGrant) -> bool:
        """Return whether it is the first event with its key, and note its units; only the first counts."""
        grant = recorded.grant
        if grant.key in self.units:
            self._duplicate_keys.add(grant.key)
            self._add_invalid(recorded, _DUPLICATE_KEY)
            return False
        self.units[grant.key] = grant.units
        if grant.period:
            self.orders_with_instalments[grant.subject] = grant.period
        elif is_instalment(grant.subject):
            self.orders_with_instalments.setdefault(order_subject(grant.order_id or ""), None)
        at = f"{grant.order_id or ''}\n{grant.meter}"
        if is_take_back(grant.subject):
            self.taken[at] = self.taken.get(at, _NOTHING) - grant.units
        elif is_adjustment(grant.subject) or is_instalment(grant.subject):
            self.adjusted[at] = self.adjusted.get(at, _NOTHING) + grant.units
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
        if has_open_take_backs(standing):
            self.refund_pending.add([standing.subject])
        if is_reversal_incomplete(standing):
            self.refund_incomplete.add([standing.subject])

    def _add_missing(self, recorded: RecordedGrant, own: Claim | None) -> None:
        grant = recorded.grant
        # A grant that joins a claim restored earlier is linked to that claim and listed with it.
        fact = grant.subject if own and not is_correction(grant.subject) else self._fact_of(grant)
        self.missing[fact] = {**self.missing.get(fact, {}), grant.key: recorded}
        self.missing_count += 1

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
