"""What was taken back of orders, beside what should be: by refunds a share of some, by people all of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tests.chaos.world import Told
from workers.core.claims import Claim

_STEP = Fraction(1, 10**6)  # what a refund takes back is rounded down to this, for each rule
TAKEN_BACK = ("credits:refund:", "credits:revoke:")
"""What subjects of such claims begin with."""

_ByRule = dict[tuple[str, str], Decimal]
"""By meter and rule."""


@dataclass(frozen=True, kw_only=True)
class Clawback:
    """One rule's part of an order's credits on a meter, and what has been frozen to be taken back of it."""

    credited: Decimal
    revocable: Decimal
    taken: Decimal
    share: Fraction
    """Of the order, that has been refunded by the highest refund told so far."""
    may_be_revoked: bool
    is_revoked: bool

    @property
    def due(self) -> Fraction:
        """Return what refunds take back."""
        return Fraction(self.revocable) * self.share

    @property
    def is_bounded(self) -> bool:
        """Say whether no more was taken than may be."""
        return 0 <= self.taken <= (self.credited if self.may_be_revoked else self.due)

    @property
    def is_whole(self) -> bool:
        """Say whether all was taken that is to be."""
        if self.is_revoked:
            return self.taken == self.credited
        return self.due - Fraction(self.taken) < _STEP and (self.share < 1 or self.taken >= self.revocable)


def clawbacks(told: Iterable[Told], claims: Mapping[str, Claim]) -> Iterator[Clawback]:
    """Yield for each part of each order that was refunded or revoked what became of it."""
    by_order: dict[str, list[Told]] = {}
    for one in told:
        if one.order_id:
            by_order.setdefault(one.order_id, []).append(one)
    for order_id, those in by_order.items():
        if any(one.refunded_cents or one.revokes for one in those):
            yield from _of_order(order_id, those, claims)


def _of_order(order_id: str, told: list[Told], claims: Mapping[str, Claim]) -> Iterator[Clawback]:
    own = [claims[told[0].subject]] if told[0].subject in claims else []
    credited, revocable = _by_rule(own), _by_rule(own, only_revocable=True)
    back = [
        claim
        for subject, claim in claims.items()
        if subject.startswith(tuple(f"{one}{order_id}:" for one in TAKEN_BACK))
    ]
    taken = _by_rule(back)
    for place in credited.keys() | taken.keys():
        meter = place[0]
        yield Clawback(
            credited=credited.get(place, Decimal(0)),
            revocable=revocable.get(place, Decimal(0)),
            taken=-taken.get(place, Decimal(0)),
            share=max(one.share for one in told),
            may_be_revoked=any(one.revokes in {"*", meter} for one in told),
            is_revoked=f"credits:revoke:{order_id}:{meter}" in claims,
        )


def _by_rule(claims: Iterable[Claim], *, only_revocable: bool = False) -> _ByRule:
    units: _ByRule = {}
    for grant in (grant for claim in claims for grant in claim.grants):
        for part in grant.parts:
            if part.revocable or not only_revocable:
                place = (grant.meter, part.rule)
                units[place] = units.get(place, Decimal(0)) + part.units
    return units
