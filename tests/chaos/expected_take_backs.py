"""Compares what was taken back of each order with what refunds, disputes and revokes should take back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tests.chaos.world import SentWebhook
from workers.core.claims import Claim

TAKEN_BACK = ("credits:refund:", "credits:dispute:", "credits:revoke:")
"""The prefixes of such claims' subjects."""

_ByRule = dict[tuple[str, str], Decimal]
"""Units by meter and rule."""


@dataclass(frozen=True, kw_only=True)
class RuleTakeBack:
    """One rule's part of an order's credits on a meter, and the part of it that was taken back."""

    credited: Decimal
    taken: Decimal
    share: Fraction
    """The share of it to take back: by the order's highest refund, and by all its lost disputes."""
    step: Fraction
    """What is taken back is rounded down to this."""
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
    credited = _by_rule(own)
    taken = _by_rule(
        one for one in claims.values() if one.order_id == order_id and one.subject.startswith(TAKEN_BACK)
    )
    shares = _shares(own, sent)
    for place in credited.keys() | taken.keys():
        meter = place[0]
        yield RuleTakeBack(
            credited=credited.get(place, Decimal(0)),
            taken=-taken.get(place, Decimal(0)),
            share=shares.get(place, Fraction(0)),
            step=rounded_to(units for at, units in credited.items() if at[0] == meter),
            may_be_revoked=any(one.revokes in {"*", meter} for one in sent),
            is_revoked=f"credits:revoke:{order_id}:{meter}" in claims,
        )


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
