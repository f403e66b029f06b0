"""Compares what was taken back of each order with what refunds and manual revokes should take back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tests.chaos.world import SentWebhook
from workers.core.claims import Claim

TAKEN_BACK = ("credits:refund:", "credits:revoke:")
"""The prefixes of such claims' subjects."""

_ByRule = dict[tuple[str, str], Decimal]
"""Units by meter and rule."""


@dataclass(frozen=True, kw_only=True)
class RuleTakeBack:
    """One rule's part of an order's credits on a meter, and the part of it that was taken back."""

    credited: Decimal
    revocable: Decimal
    taken: Decimal
    share: Fraction
    """The refunded share of the order, by its highest refund so far."""
    step: Fraction
    """What a refund takes back is rounded down to this."""
    may_be_revoked: bool
    is_revoked: bool

    @property
    def due(self) -> Fraction:
        """Return the units that refunds take back."""
        return Fraction(self.revocable) * self.share

    @property
    def is_bounded(self) -> bool:
        """Return whether no more was taken back than allowed."""
        return 0 <= self.taken <= (self.credited if self.may_be_revoked else self.due)

    @property
    def is_whole(self) -> bool:
        """Return whether everything due was taken back."""
        if self.is_revoked:
            return self.taken == self.credited
        return self.due - Fraction(self.taken) < self.step and (
            self.share < 1 or self.taken >= self.revocable
        )


def rule_take_backs(sent: Iterable[SentWebhook], claims: Mapping[str, Claim]) -> Iterator[RuleTakeBack]:
    """Yield the take-back of each part of each order that was refunded or revoked."""
    by_order: dict[str, list[SentWebhook]] = {}
    for one in sent:
        if one.order_id:
            by_order.setdefault(one.order_id, []).append(one)
    for order_id, those in by_order.items():
        if any(one.refunded_cents or one.revokes for one in those):
            yield from _of_order(order_id, those, claims)


def rounded_to(units: Iterable[Decimal]) -> Fraction:
    """Return what refunds of these parts on one meter are rounded down to: a credit if all are whole."""
    return Fraction(1) if all(one % 1 == 0 for one in units) else Fraction(1, 10**6)


def _of_order(order_id: str, sent: list[SentWebhook], claims: Mapping[str, Claim]) -> Iterator[RuleTakeBack]:
    own = [claims[sent[0].subject]] if sent[0].subject in claims else []
    credited, revocable = _by_rule(own), _by_rule(own, only_revocable=True)
    back = [
        claim
        for subject, claim in claims.items()
        if subject.startswith(tuple(f"{one}{order_id}:" for one in TAKEN_BACK))
    ]
    taken = _by_rule(back)
    for place in credited.keys() | taken.keys():
        meter = place[0]
        yield RuleTakeBack(
            credited=credited.get(place, Decimal(0)),
            revocable=revocable.get(place, Decimal(0)),
            taken=-taken.get(place, Decimal(0)),
            share=max(one.share for one in sent),
            step=rounded_to(units for at, units in credited.items() if at[0] == meter),
            may_be_revoked=any(one.revokes in {"*", meter} for one in sent),
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
