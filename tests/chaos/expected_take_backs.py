"""Compares what was taken back of each order with what refunds, disputes and revokes should take back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tests.chaos.world import SentWebhook
from workers.core.claims import Claim

TAKEN_BACK = ("credits:refund:", "credits:dispute:", "credits:revoke:")
"""The prefixes of such claims' subjects."""
INSTALMENT = "credits:instalment:"
"""The prefix of the claims of later instalments."""

_ByRule = dict[tuple[str, str], Decimal]
"""Units by meter and rule."""


@dataclass(frozen=True, kw_only=True)
class RuleTakeBack:
    """One rule's part of an order's credits on a meter, and the part of it that was taken back.

    What an instalment gave less than its rule's part counts as credited and taken back.
    """

    credited: Decimal
    taken: Decimal
    share: Fraction
    """The share of it to take back: by the order's highest refund, and by all its lost disputes."""
    step: Fraction
    """What is taken back is rounded down to this: of the whole, and in each later instalment."""
    may_be_revoked: bool
    is_revoked: bool

    @property
    def due(self) -> Fraction:
        """Return the units that refunds and disputes take back."""
        return Fraction(self.credited) * self.share

    @property
    def is_bounded(self) -> bool:
        """Return whether no more was taken back than allowed."""
        return 0 <= self.taken <= (self.credited if self.may_be_revoked else self.due)

    @property
    def is_whole(self) -> bool:
        """Return whether everything due was taken back."""
        if self.is_revoked:
            return self.taken == self.credited
        return self.due - Fraction(self.taken) < self.step and (self.share < 1 or self.taken >= self.credited)


def rule_take_backs(sent: Iterable[SentWebhook], claims: Mapping[str, Claim]) -> Iterator[RuleTakeBack]:
    """Yield the take-back of each part of each order that was refunded or revoked."""
    by_order: dict[str, list[SentWebhook]] = {}
    for one in sent:
        if one.order_id:
            by_order.setdefault(one.order_id, []).append(one)
    for order_id, those in by_order.items():
        if any(one.refunded_cents or one.disputed_cents or one.revokes for one in those):
            yield from _of_order(order_id, those, claims)


def rounded_to(units: Iterable[Decimal]) -> Fraction:
    """Return what refunds of these parts on one meter are rounded down to: a credit if all are whole."""
    return Fraction(1) if all(one % 1 == 0 for one in units) else Fraction(1, 10**6)


def _of_order(order_id: str, sent: list[SentWebhook], claims: Mapping[str, Claim]) -> Iterator[RuleTakeBack]:
    own = [claims[sent[0].subject]] if sent[0].subject in claims else []
    of_order = [one for one in claims.values() if one.order_id == order_id]
    later = [one for one in of_order if one.subject.startswith(INSTALMENT) and _counts(one)]
    first = _by_rule(own)
    credited = _plus(first, _repeated(own, later))
    withheld = _minus(_repeated(own, later), _by_rule(later))
    taken = _minus(_by_rule(one for one in of_order if one.subject.startswith(TAKEN_BACK)), withheld)
    shares = _shares(own, sent)
    for place in credited.keys() | taken.keys():
        meter = place[0]
        yield RuleTakeBack(
            credited=credited.get(place, Decimal(0)),
            taken=-taken.get(place, Decimal(0)),
            share=shares.get(place, Fraction(0)),
            step=rounded_to(units for at, units in first.items() if at[0] == meter)
            * (1 + sum(grant.meter == meter for one in later for grant in one.grants)),
            may_be_revoked=any(one.revokes in {"*", meter} for one in sent),
            is_revoked=_is_revoked(claims.get(f"credits:revoke:{order_id}:{meter}")),
        )


def _is_revoked(revoke: Claim | None) -> bool:
    """Return whether a revoke by hand stands.

    It does not if Polar lacks it and a person has dismissed it: then instalments go on.
    """
    return revoke is not None and (bool(revoke.settled) or not revoke.is_dismissed)


def _counts(instalment: Claim) -> bool:
    """Return whether an instalment was begun: not if Polar refused it and a person has dismissed it."""
    return bool(instalment.settled) or not instalment.is_dismissed


def _repeated(own: Iterable[Claim], later: Iterable[Claim]) -> _ByRule:
    """Return what these instalments would give if nothing had been refunded."""
    numbers: dict[str, int] = {}
    for grant in (grant for one in later for grant in one.grants):
        numbers[grant.meter] = numbers.get(grant.meter, 0) + 1
    return {
        (grant.meter, part.rule): part.units * numbers[grant.meter]
        for claim in own
        for grant in claim.grants
        for part in grant.parts
        if part.every and grant.meter in numbers
    }


def _plus(some: _ByRule, others: _ByRule) -> _ByRule:
    return {at: some.get(at, Decimal(0)) + others.get(at, Decimal(0)) for at in some.keys() | others.keys()}


def _minus(some: _ByRule, others: _ByRule) -> _ByRule:
    return _plus(some, {at: -units for at, units in others.items()})


def _shares(own: Iterable[Claim], sent: Iterable[SentWebhook]) -> dict[tuple[str, str], Fraction]:
    """Return the share of each part that its order's refunds and disputes take: together at most 1."""
    refunded = max(one.share for one in sent)
    disputed = sum({one.dispute_id: one.disputed_share for one in sent}.values(), Fraction(0))
    return {
        (grant.meter, part.rule): min(Fraction(1), part.revocable * refunded + part.disputable * disputed)
        for claim in own
        for grant in claim.grants
        for part in grant.parts
    }


def _by_rule(claims: Iterable[Claim]) -> _ByRule:
    units: _ByRule = {}
    for grant in (grant for claim in claims for grant in claim.grants):
        for part in grant.parts:
            place = (grant.meter, part.rule)
            units[place] = units.get(place, Decimal(0)) + part.units
    return units
