"""PURE: what Polar tells of our grants and the ledger lacks, and how that is written down again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction

from config.rules import Rules
from workers.evidence import Oddity, Trace, read_trace
from workers.grants import RULE_SEPARATOR, Grant, Part, customer_subject, order_subject
from workers.lists import Row
from workers.planning import Plan
from workers.records import Claim, Refund, Standing, TakeBack, Taken

# Stands where the delivery does that claimed a fact: Polar does not know which that was.
REBUILD = "rebuild"

_FINEST = Decimal("0.000001")

Look = Callable[[Sequence[str]], Sequence[Standing]]
"""Returns what stands for each of some subjects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A grant that the ledger has otherwise than Polar: both stay as they are."""

    grant: Grant
    """As Polar has it, for good."""
    ledger: Grant | None
    """None: the fact is claimed, and this meter is not in the claim."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Restoration:
    """All that is to be written down of one fact at once; it holds while ``claimed_by`` has claimed it."""

    plan: Plan
    claimed_by: str
    """The delivery that has the fact in the ledger; nothing where none has."""
    taken: tuple[TakeBack, ...]
    times: Mapping[str, Mapping[str, datetime]]
    """When Polar took what: by subject, by meter."""


@dataclass(kw_only=True)
class Rebuilding:
    """What was found so far among our events at Polar."""

    rules: Rules
    read: int = 0
    standing: int = 0
    claimed: int = 0
    """Grants that Polar has and the ledger has claimed: their deliveries see to them."""
    missing: dict[str, dict[str, Trace]] = field(default_factory=dict)
    """By the fact that led to them, by key; oldest first."""
    differing: list[Difference] = field(default_factory=list)
    odd: list[Oddity] = field(default_factory=list)

    def add(self, rows: Sequence[Row], look: Look) -> None:
        """Take in a page of events that say they are ours."""
        self.read += len(rows)
        told = [read_trace(row) for row in rows]
        self.odd += [one for one in told if isinstance(one, Oddity)]
        traces = [one for one in told if isinstance(one, Trace)]
        standings = look([one.grant.subject for one in traces]) if traces else []
        for trace, standing in zip(traces, standings, strict=True):
            self._judge(trace, standing.own)

    def leave_groundless(self, look: Look) -> None:
        """Leave out what was taken back of grants that neither Polar nor the ledger knows of."""
        doubtful = [fact for fact, traces in self.missing.items() if _groundless(traces, ())]
        for fact, standing in zip(doubtful, look(doubtful), strict=True):
            traces = self.missing[fact]
            for trace in _groundless(traces, standing.own.grants if standing.own else ()):
                del traces[trace.grant.key]
                self._doubt(trace, "it takes back what was never granted")
            if not traces:
                del self.missing[fact]

    @property
    def grants(self) -> list[Grant]:
        """Return all that is missing."""
        return [trace.grant for traces in self.missing.values() for trace in traces.values()]

    def _judge(self, trace: Trace, own: Claim | None) -> None:
        grant = trace.grant
        frozen = {one.meter: one for one in own.grants}.get(grant.meter) if own else None
        if own is None or (frozen is None and own.delivery_id == REBUILD):
            self._miss(trace)
        elif frozen is None or not _are_alike(frozen, grant):
            self.differing.append(Difference(grant=grant, ledger=frozen))
        elif grant.meter in own.settled:
            self.standing += 1
        else:
            self.claimed += 1

    def _miss(self, trace: Trace) -> None:
        traces = self.missing.setdefault(self._fact_of(trace.grant), {})
        # One that stood at the end of a page may begin the next.
        if traces.setdefault(trace.grant.key, trace) != trace:
            self._doubt(trace, "another event has its key")

    def _doubt(self, trace: Trace, why: str) -> None:
        self.odd.append(Oddity(event_id=trace.event_id, key=trace.grant.key, why=why))

    def _fact_of(self, grant: Grant) -> str:
        """Return the fact that led to a grant: what was credited with it is found with it."""
        if grant.order_id is not None:
            return order_subject(grant.order_id)
        if grant.subject != customer_subject(grant.customer_id, grant.parts[0].rule):
            return grant.subject
        # A period's bonus does not tell which period: it stands alone.
        bonuses = {rule.name for rule in self.rules.rules if rule.once_per_customer}
        return grant.subject if grant.parts[0].rule in bonuses else customer_subject(grant.customer_id)


def restoration(fact: str, traces: Iterable[Trace], standing: Standing, rules: Rules) -> Restoration:
    """Return what is to be written down of ``fact``, given what stands for it."""
    told = list(traces)
    takings = [one for one in told if one.grant.units < 0]
    given = tuple(_revocable(one.grant, takings, rules) for one in told if one.grant.units > 0)
    stands = standing.own.grants if standing.own else ()
    own = {one.meter: one for one in (*(one for one in given if one.subject == fact), *stands)}
    takings = [one for one in takings if one.grant.meter in own]  # Redis may be lost once more meanwhile
    first = told[0].grant
    return Restoration(
        plan=Plan(
            subject=fact,
            customer_id=first.customer_id,
            order_id=first.order_id,
            grants=given,
            refund=_refund(takings, own),
        ),
        claimed_by=standing.own.delivery_id if standing.own else "",
        taken=tuple(_take_backs(takings, own, standing)),
        times=_times(fact, told),
    )


def _are_alike(one: Grant, other: Grant) -> bool:
    return (one.units, one.customer_id) == (other.units, other.customer_id)


def _revocable(grant: Grant, takings: Sequence[Trace], rules: Rules) -> Grant:
    """Return the grant with what a refund may take of it: Polar was not told that.

    What a refund has taken from was revocable; of all else today's rules are asked.
    """
    (part,) = grant.parts
    names = set(part.rule.split(RULE_SEPARATOR))
    revoking = {rule.name for rule in rules.rules if rule.revokes}
    taken_from = (
        set(one.grant.parts[0].rule.split(RULE_SEPARATOR))
        for one in takings
        if one.refunded_amount is not None and one.grant.meter == grant.meter
    )
    if _is_an_orders(grant) and any(names <= known for known in (revoking, *taken_from)):
        return replace(grant, parts=(replace(part, revocable=True),))
    return grant


def _take_backs(takings: Sequence[Trace], own: Mapping[str, Grant], standing: Standing) -> Iterator[TakeBack]:
    """Yield what was taken back of an order's own grants: in that order, for each adds to the last."""
    by_subject: dict[str, list[Grant]] = {}
    for one in takings:
        by_subject.setdefault(one.grant.subject, []).append(one.grant)
    before: Taken = standing.taken
    for grants in by_subject.values():
        after = {one.meter: _raised(before.get(one.meter, {}), one, own[one.meter].parts) for one in grants}
        yield TakeBack(
            delivery_id=REBUILD,
            subject=standing.subject,
            grants=tuple(grants),
            before={meter: before.get(meter, {}) for meter in after},
            after=after,
        )
        before = {**before, **after}


def _raised(taken: Mapping[str, Decimal], taking: Grant, parts: Sequence[Part]) -> dict[str, Decimal]:
    """Return what has been taken by rule after ``taking``: from each by what is left of it."""
    (told,) = taking.parts
    named = [part for part in parts if part.rule == told.rule or part.rule in told.rule.split(RULE_SEPARATOR)]
    after = dict(taken)
    shared = named or list(parts)
    room = {part.rule: max(Decimal(0), part.units - taken.get(part.rule, Decimal(0))) for part in shared}
    whole, left = sum(room.values()), -told.units
    for rule in list(room)[:-1]:
        share = (-told.units * room[rule] / whole).quantize(_FINEST, ROUND_DOWN) if whole else Decimal(0)
        after[rule] = after.get(rule, Decimal(0)) + share
        left -= share
    last = shared[-1].rule
    after[last] = after.get(last, Decimal(0)) + left
    return {rule: units for rule, units in after.items() if units}


def _refund(takings: Sequence[Trace], own: Mapping[str, Grant]) -> Refund | None:
    """Return the highest refund that took something; what it took tells its share, about."""
    refunds = [one for one in takings if one.refunded_amount is not None]
    if not refunds:
        return None
    taken: dict[str, Decimal] = {}
    for one in refunds:
        taken[one.grant.meter] = taken.get(one.grant.meter, Decimal(0)) - one.grant.units
    shares = [Fraction(units) / Fraction(own[meter].units) for meter, units in taken.items()]
    return Refund(
        amount=max(one.refunded_amount or 0 for one in refunds), share=min(Fraction(1), max(shares))
    )


def _groundless(traces: Mapping[str, Trace], own: Sequence[Grant]) -> list[Trace]:
    credited = {one.meter for one in own}
    credited |= {one.grant.meter for one in traces.values() if _is_an_orders(one.grant)}
    return [one for one in traces.values() if one.grant.units < 0 and one.grant.meter not in credited]


def _is_an_orders(grant: Grant) -> bool:
    return grant.order_id is not None and grant.subject == order_subject(grant.order_id)


def _times(fact: str, told: Sequence[Trace]) -> dict[str, dict[str, datetime]]:
    times: dict[str, dict[str, datetime]] = {fact: {}}
    for one in told:
        times.setdefault(one.grant.subject, {})[one.grant.meter] = one.at
    return times
