"""PURE: what Polar tells of our grants, and what of it the ledger lacks or has otherwise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from config.rules import Rules
from workers.core.claims import REBUILD, Claim, Standing
from workers.core.grants import Grant, customer_subject, grant_key, order_subject
from workers.core.takebacks import is_refund_incomplete, refund_take_back
from workers.core.usage_events import InvalidUsageEvent, RecordedGrant, is_marked_ours, read_usage_event
from workers.polar.lists import Page

_COPIED = "another event has its key"

FindStandings = Callable[[Sequence[str]], Sequence[Standing]]
"""Returns what stands for each of some subjects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A grant that the ledger has otherwise than Polar."""

    grant: Grant
    """As Polar has it, for good."""
    ledger: Grant | None
    """None: the fact is claimed, and this meter is not in the claim."""
    kept_because: str
    """Why the ledger stays as it is; nothing where it is to have Polar's amount."""


@dataclass(kw_only=True)
class LedgerComparison:
    """What was found so far among our events at Polar."""

    rules: Rules
    total: int = 0
    """Events that Polar counts, of which ``listed`` were shown."""
    listed: int = 0
    read: int = 0
    """Those that say they are ours."""
    matching: int = 0
    claimed_elsewhere: int = 0
    """Grants that Polar has and the ledger has claimed: their deliveries see to them."""
    missing: dict[str, dict[str, RecordedGrant]] = field(default_factory=dict)
    """By the fact that led to them, by key; oldest first."""
    differing: list[Difference] = field(default_factory=list)
    odd: list[InvalidUsageEvent] = field(default_factory=list)
    refund_pending: list[str] = field(default_factory=list)
    """Facts restored before, of which a refund is noted that has taken nothing yet."""
    refund_incomplete: list[str] = field(default_factory=list)
    """Facts of which the last refund took less than its share of what stands by now."""
    _last_page: frozenset[str] = frozenset()
    _units: dict[str, Decimal] = field(default_factory=dict)
    """What each key has given, or taken: by its first event."""
    _copied: set[str] = field(default_factory=set)
    """The keys of more than one event: all but one of these were sent by somebody else."""
    _taken: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def add(self, page: Page, find_standings: FindStandings) -> None:
        """Take in a page of events; the next may begin with some of them."""
        rows = [row for row in page.items if str(row.get("id")) not in self._last_page]
        self._last_page = frozenset(str(row.get("id")) for row in page.items)
        self.total, self.listed = page.total, self.listed + len(rows)
        told = [read_usage_event(row) for row in rows if is_marked_ours(row)]
        self.read += len(told)
        self.odd += [one for one in told if isinstance(one, InvalidUsageEvent)]
        traces = [one for one in told if isinstance(one, RecordedGrant) and self._is_first(one)]
        standings = find_standings([one.grant.subject for one in traces]) if traces else []
        for trace, standing in zip(traces, standings, strict=True):
            self._judge(trace, standing)

    def exclude_doubtful(self, find_standings: FindStandings) -> None:
        """Leave alone, all being read, what is not certain: what has no ground, and what was copied."""
        doubtful = [fact for fact, traces in self.missing.items() if _groundless(traces, ())]
        for fact, standing in zip(doubtful, find_standings(doubtful), strict=True):
            traces = self.missing[fact]
            for trace in _groundless(traces, standing.own.grants if standing.own else ()):
                del traces[trace.grant.key]
                self._doubt(trace, "it takes back what was never granted")
            if not traces:
                del self.missing[fact]
        self.differing = [
            replace(one, kept_because=one.kept_because or _COPIED) if one.grant.key in self._copied else one
            for one in self.differing
        ]

    @property
    def grants(self) -> list[Grant]:
        """Return all that is missing."""
        return [trace.grant for traces in self.missing.values() for trace in traces.values()]

    @property
    def corrections(self) -> dict[str, list[Grant]]:
        """Return what the ledger is to have as Polar has it, by fact: of what was taken, its order."""
        found: dict[str, list[Grant]] = {}
        for one in self.differing:
            if not one.kept_because:
                found.setdefault(_counted_at(one.grant), []).append(one.grant)
        return found

    @property
    def kept(self) -> list[Difference]:
        """Return the differences that stay."""
        return [one for one in self.differing if one.kept_because]

    @property
    def not_listed(self) -> int:
        """Return how many events Polar counts and has not shown: those of one time change places."""
        return max(0, self.total - self.listed)

    @property
    def over_reversed(self) -> dict[tuple[str, str], Decimal]:
        """Return by order and meter what Polar has taken back beyond what it has given."""
        given = {one: self._units.get(grant_key(order_subject(one[0]), one[1])) for one in self._taken}
        beyond = {one: self._taken[one] - units for one, units in given.items() if units is not None}
        return {one: units for one, units in beyond.items() if units > 0}

    def _is_first(self, trace: RecordedGrant) -> bool:
        """Say whether it is the first event with its key; no other counts."""
        grant = trace.grant
        if grant.key in self._units:
            self._copied.add(grant.key)
            self._doubt(trace, _COPIED)
            return False
        self._units[grant.key] = grant.units
        if grant.units < 0:
            of = (grant.order_id or "", grant.meter)
            self._taken[of] = self._taken.get(of, Decimal(0)) - grant.units
        return True

    def _judge(self, trace: RecordedGrant, standing: Standing) -> None:
        grant, own = trace.grant, standing.own
        frozen = {one.meter: one for one in own.grants}.get(grant.meter) if own else None
        if own is None or (frozen is None and own.delivery_id == REBUILD):
            self._miss(trace, own)
        elif frozen is None or not are_alike(frozen, grant):
            reason = why_kept(grant, frozen, own)
            self.differing.append(Difference(grant=grant, ledger=frozen, kept_because=reason))
        elif grant.meter in own.settled:
            self.matching += 1
        else:
            self.claimed_elsewhere += 1
        is_ours = (
            own is not None and own.delivery_id == REBUILD and standing.subject not in self.refund_pending
        )
        if is_ours and refund_take_back(standing, REBUILD):
            self.refund_pending.append(standing.subject)
        if is_refund_incomplete(standing) and standing.subject not in self.refund_incomplete:
            self.refund_incomplete.append(standing.subject)

    def _miss(self, trace: RecordedGrant, own: Claim | None) -> None:
        grant = trace.grant
        # What joins a claim that was restored before is linked and listed with that.
        fact = grant.subject if own and grant.units > 0 else self._fact_of(grant)
        self.missing.setdefault(fact, {})[grant.key] = trace

    def _doubt(self, trace: RecordedGrant, why: str) -> None:
        self.odd.append(InvalidUsageEvent(event_id=trace.event_id, key=trace.grant.key, why=why))

    def _fact_of(self, grant: Grant) -> str:
        """Return the fact that led to a grant: what was credited with it is found with it."""
        if grant.order_id is not None:
            return order_subject(grant.order_id)
        if grant.subject != customer_subject(grant.customer_id, grant.parts[0].rule):
            return grant.subject
        # A period's bonus does not tell which period: it stands alone.
        bonuses = {rule.name for rule in self.rules.rules if rule.once_per_customer}
        return grant.subject if grant.parts[0].rule in bonuses else customer_subject(grant.customer_id)


def is_an_orders(grant: Grant) -> bool:
    """Say whether an order was credited it, as its own."""
    return grant.order_id is not None and grant.subject == order_subject(grant.order_id)


def are_alike(one: Grant, other: Grant) -> bool:
    """Say whether two are the same credit, as far as Polar can tell."""
    return (one.units, one.customer_id) == (other.units, other.customer_id)


def why_kept(grant: Grant, frozen: Grant | None, own: Claim) -> str:
    """Return why what ``own`` has ``frozen`` is not to be as Polar has it; nothing if it is."""
    if frozen is None:
        return "its claim has nothing on this meter"
    if frozen.customer_id != grant.customer_id:
        return "the ledger has it for another customer"
    return "" if grant.meter in own.settled else "its delivery has not come to its end"


def _counted_at(grant: Grant) -> str:
    return order_subject(grant.order_id or "") if grant.units < 0 else grant.subject


def _groundless(traces: Mapping[str, RecordedGrant], own: Sequence[Grant]) -> list[RecordedGrant]:
    credited = {one.meter for one in own}
    credited |= {one.grant.meter for one in traces.values() if is_an_orders(one.grant)}
    return [one for one in traces.values() if one.grant.units < 0 and one.grant.meter not in credited]
