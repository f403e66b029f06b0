"""The whole service as a model: whatever happens, in any order, credits are exact and no delivery is lost.

``MODEL_EXAMPLES=20000 MODEL_STEPS=100 pytest tests/chaos --timeout 0`` looks longer. A failure prints the
shortest story that leads to it, and a ``@reproduce_failure`` that plays it again.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis.stateful import invariant

from tests.chaos.sound import Sound, length
from tests.chaos.world import FILES, METERS, Amounts, File, Told
from workers.grants import Grant, Part
from workers.records import Claim, Outcome, Status

_REFUSALS = ("customer_id: Customer does not exist.", "while others passed)")  # never for the world's sake
_STEP = Fraction(1, 10**6)  # what a refund takes back is rounded down to this, for each rule


@dataclass(frozen=True, kw_only=True)
class Clawback:
    """What was frozen to be taken back of one rule's part of an order, and what should be at the most."""

    taken: Decimal
    revocable: Decimal
    share: Fraction

    @property
    def due(self) -> Fraction:
        """Return the share of what can be taken back."""
        return Fraction(self.revocable) * self.share


class Exact(Sound):
    """The service with a Redis that keeps what it is given: every number is what was frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: dict[str, tuple[Grant, ...]] = {}

    @invariant()
    def under_one_key_polar_is_always_told_the_same(self) -> None:
        """It keeps the first and is silent about another: nobody would ever know."""
        assert not self.service.polar.contradictions

    @invariant()
    def polar_has_what_was_frozen(self) -> None:
        """Nothing else, and the same numbers."""
        frozen = {grant.key: grant for claim in self._claims() for grant in claim.grants}
        for key, event in self.service.polar.events.items():
            grant, data = frozen[key], event["metadata"]
            assert (event["name"], event["customer_id"]) == (grant.meter, grant.customer_id)
            assert Decimal(str(data[METERS[grant.meter]])) == -sum(part.units for part in grant.parts)
            assert data["rules"] == ",".join(part.rule for part in grant.parts)

    @invariant()
    def only_what_polar_has_is_settled(self) -> None:
        """And it is settled once."""
        assert all(self._is_at_polar(claim, only=claim.settled) for claim in self._claims())
        assert len(self.service.store.audit) == len(set(self.service.store.audit))

    @invariant()
    def what_is_frozen_is_what_the_rules_said_and_never_changes(self) -> None:
        """The rules of the worker that came first, each part of them."""
        for subject, claim in self.service.store.claims.items():
            if subject not in self.frozen and not subject.startswith("credits:refund:"):
                self._assert_as_ruled(claim, self.service.diary.frozen[subject])
            assert self.frozen.setdefault(subject, claim.grants) == claim.grants

    def _assert_as_ruled(self, claim: Claim, file: File) -> None:
        told = self.accepted[claim.delivery_id]
        wanted = file.wants(told)
        assert wanted is not None
        assert _amounts(claim) == wanted.get(claim.subject, {})
        assert {part.rule for part in _parts(claim) if part.revocable} == (
            file.revokes(told) & {part.rule for part in _parts(claim)}
        )
        assert wanted.keys() <= self.service.store.claims.keys()  # all at once, or had before

    @invariant()
    def who_plans_with_the_lease_freezes_all_that_its_rules_want(self) -> None:
        """Unless the fact was frozen before."""
        planned, self.service.diary.planned = self.service.diary.planned, []
        for file, delivery_id in planned:
            told = self.accepted[delivery_id]
            assert file.wants(told) is None or self._is_seen_to(file, told)

    @invariant()
    def every_end_has_its_reason(self) -> None:
        """Granted, skipped and failed are what the rules and Polar say."""
        ended, self.service.diary.ended = self.service.diary.ended, []
        for file, outcome in ended:
            self._assert_reason(file, self.accepted[outcome.delivery_id], outcome)

    def _assert_reason(self, file: File, told: Told, outcome: Outcome) -> None:
        if outcome.status is Status.SKIPPED:
            assert self._is_seen_to(file, told)
        elif outcome.status is Status.FAILED and outcome.reason.startswith("refused by Polar"):
            assert told.customer_id in self.service.polar.blamed
            assert outcome.reason.endswith(_REFUSALS)
        elif outcome.status is Status.FAILED:
            assert file.wants(told) is None, outcome.reason
        elif outcome.status is Status.GRANTED:
            assert any(self._is_at_polar(claim) for claim in self._made_for(told))

    def _is_seen_to(self, file: File, told: Told) -> bool:
        claims = self.service.store.claims
        wanted = file.wants(told)
        return told.subject in claims or (wanted is not None and wanted.keys() <= claims.keys())

    @invariant()
    def what_a_granted_delivery_made_is_at_polar_and_a_skipped_one_made_nothing(self) -> None:
        """A delivery that made grants is never told to have led to nothing."""
        for claim in self._claims():
            kept = self.service.store.deliveries.get(claim.delivery_id)
            if kept and kept.status is Status.GRANTED:
                assert self._is_at_polar(claim)
            if kept and kept.status is Status.SKIPPED:
                assert not claim.grants

    @invariant()
    def no_refund_takes_back_more_than_its_share(self) -> None:
        """Of each rule's part, by the highest refund told so far; nothing of what the rules said to keep."""
        assert all(0 <= one.taken <= one.due for one in self._clawbacks())

    def all_is_well(self) -> None:
        """Everything frozen is at Polar, and exactly the refunded share has gone back."""
        super().all_is_well()
        assert all(self._is_at_polar(claim) for claim in self._claims())
        for one in self._clawbacks():
            assert one.due - Fraction(one.taken) < _STEP
            assert one.share < 1 or one.taken == one.due
        for delivery_id, told in self.accepted.items():
            self._assert_ended(delivery_id, told)

    def _assert_ended(self, delivery_id: str, told: Told) -> None:
        wanted = [FILES[name].wants(told) or {} for name in self.files]
        if all(told.subject in one for one in wanted):
            assert told.subject in self.service.store.claims  # whoever came to it first
        kept = self.service.store.deliveries.get(delivery_id)
        assert kept is None or kept.status is not Status.FAILED or self.workers["A"].file.wants(told) is None

    def _claims(self) -> list[Claim]:
        return list(self.service.store.claims.values())

    def _made_for(self, told: Told) -> list[Claim]:
        store = self.service.store
        subjects = [told.subject, *store.linked.get(told.subject, [])]
        return [store.claims[one] for one in subjects if one in store.claims and store.claims[one].grants]

    def _is_at_polar(self, claim: Claim, only: Collection[str] | None = None) -> bool:
        keys = {grant.key for grant in claim.grants if only is None or grant.meter in only}
        return keys <= self.service.polar.events.keys()

    def _clawbacks(self) -> Iterator[Clawback]:
        orders = {told.order_id: told.subject for told in self.accepted.values() if told.order_id}
        for order_id, subject in orders.items():
            claim = self.service.store.claims.get(subject)
            revocable = _by_rule([claim] if claim else [], only_revocable=True)
            prefix = f"credits:refund:{order_id}:"
            taken = _by_rule([one for one in self._claims() if one.subject.startswith(prefix)])
            share = max(told.share for told in self.accepted.values() if told.order_id == order_id)
            for part in revocable.keys() | taken.keys():
                yield Clawback(
                    taken=-taken.get(part, Decimal(0)), revocable=revocable.get(part, Decimal(0)), share=share
                )


def _amounts(claim: Claim) -> Amounts:
    return {grant.meter: {part.rule: part.units for part in grant.parts} for grant in claim.grants}


def _parts(claim: Claim) -> list[Part]:
    return [part for grant in claim.grants for part in grant.parts]


def _by_rule(claims: list[Claim], *, only_revocable: bool = False) -> dict[tuple[str, str], Decimal]:
    units: dict[tuple[str, str], Decimal] = {}
    for grant in (grant for claim in claims for grant in claim.grants):
        for part in grant.parts:
            if part.revocable or not only_revocable:
                place = (grant.meter, part.rule)
                units[place] = units.get(place, Decimal(0)) + part.units
    return units


Exact.TestCase.settings = length(200)
TestModel = pytest.mark.usefixtures("quiet")(Exact.TestCase)
