"""The whole service as a model: whatever happens, in any order, credits are exact and no delivery is lost.

``MODEL_EXAMPLES=20000 MODEL_STEPS=100 pytest tests/chaos/test_model.py --timeout 0`` looks longer. A failure
prints the shortest story that leads to it, for ``test_found_stories.py``, and a ``@reproduce_failure``.
"""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.chaos.cast import FILES, METERS
from tests.chaos.clawbacks import TAKEN_BACK, Clawback, clawbacks
from tests.chaos.fair import REFUSALS, Fair
from tests.chaos.sound import length
from tests.chaos.world import Amounts, File, Told
from workers.core.claims import Claim
from workers.core.delivery import Outcome, Status
from workers.core.grants import Grant, Part


class Exact(Fair):
    """The service with a Redis that keeps what it is given: every number is what was frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: dict[str, tuple[Grant, ...]] = {}

    def check(self) -> None:
        """Look at the numbers, as well."""
        super().check()
        self.under_one_key_polar_is_always_told_the_same()
        self.polar_has_what_was_frozen()
        self.only_what_polar_has_is_settled()
        self.what_is_frozen_is_what_the_rules_said_and_never_changes()
        self.who_plans_with_the_lease_freezes_all_that_its_rules_want()
        self.every_end_has_its_reason()
        self.what_a_granted_delivery_made_is_at_polar_and_a_skipped_one_made_nothing()
        self.no_more_is_taken_back_than_may_be()

    def under_one_key_polar_is_always_told_the_same(self) -> None:
        """It keeps the first and is silent about another: nobody would ever know."""
        assert not self.service.polar.contradictions

    def polar_has_what_was_frozen(self) -> None:
        """Nothing else, and the same numbers."""
        if not self.new_events:
            return
        frozen = {grant.key: grant for claim in self._claims() for grant in claim.grants}
        for key, event in self.new_events.items():
            grant, data = frozen[key], event["metadata"]
            assert (event["name"], event["customer_id"]) == (grant.meter, grant.customer_id)
            assert Decimal(str(data[METERS[grant.meter]])) == -sum(part.units for part in grant.parts)
            assert data["rules"] == ",".join(part.rule for part in grant.parts)

    def only_what_polar_has_is_settled(self) -> None:
        """And it is settled once."""
        settled = set(self.service.store.audit)
        assert settled <= self.service.polar.events.keys()
        assert len(self.service.store.audit) == len(settled)

    def what_is_frozen_is_what_the_rules_said_and_never_changes(self) -> None:
        """The rules of the worker that came first, each part of them."""
        for subject, claim in self.service.store.claims.items():
            if subject not in self.frozen:
                self._assert_as_ruled(claim, self.service.diary.frozen[subject])
            assert self.frozen.setdefault(subject, claim.grants) == claim.grants

    def _assert_as_ruled(self, claim: Claim, file: File) -> None:
        assert all(part.units for part in _parts(claim))
        if claim.subject.startswith(TAKEN_BACK):
            return
        told = self.accepted[claim.delivery_id]
        wanted = file.wants(told)
        assert wanted is not None
        assert _amounts(claim) == wanted.get(claim.subject, {})
        assert {part.rule for part in _parts(claim) if part.revocable} == (
            file.revokes(told) & {part.rule for part in _parts(claim)}
        )
        assert wanted.keys() <= self.service.store.claims.keys()  # all at once, or had before

    def who_plans_with_the_lease_freezes_all_that_its_rules_want(self) -> None:
        """Unless the fact was frozen before."""
        for run, delivery_id in self.service.diary.planned:
            file, told = run.file, self.accepted[delivery_id]
            assert file.wants(told) is None or self._is_seen_to(file, told)

    def every_end_has_its_reason(self) -> None:
        """Granted, skipped and failed are what the rules and Polar say."""
        for run, outcome in self.service.diary.ended:
            self._assert_reason(run.file, self.accepted[outcome.delivery_id], outcome)

    def _assert_reason(self, file: File, told: Told, outcome: Outcome) -> None:
        if outcome.status is Status.SKIPPED:
            assert self._is_seen_to(file, told)
        elif outcome.status is Status.FAILED and outcome.reason.startswith("refused by Polar"):
            assert outcome.reason in REFUSALS
        elif outcome.status is Status.FAILED:
            assert file.wants(told) is None, outcome.reason
        elif outcome.status is Status.GRANTED:
            assert any(self._is_at_polar(claim) for claim in self._made_for(told))

    def _is_seen_to(self, file: File, told: Told) -> bool:
        claims = self.service.store.claims
        wanted = file.wants(told)
        return told.subject in claims or (wanted is not None and wanted.keys() <= claims.keys())

    def what_a_granted_delivery_made_is_at_polar_and_a_skipped_one_made_nothing(self) -> None:
        """A delivery that made grants is never told to have led to nothing."""
        for claim in self._claims():
            kept = self.service.store.deliveries.get(claim.delivery_id)
            if kept and kept.status is Status.GRANTED:
                assert self._is_at_polar(claim)
            if kept and kept.status is Status.SKIPPED and not claim.subject.startswith(TAKEN_BACK):
                assert not claim.grants

    def no_more_is_taken_back_than_may_be(self) -> None:
        """Of each rule's part: the refunded share, unless it is to be kept; all where a person wants it."""
        assert all(one.is_bounded for one in self._clawbacks())

    def all_is_well(self) -> None:
        """Everything frozen is at Polar, and exactly the refunded share has gone back."""
        super().all_is_well()
        assert all(self._is_at_polar(claim) and not claim.unsettled for claim in self._claims())
        assert all(one.is_whole for one in self._clawbacks())
        assert {key for claim in self._claims() for key in _keys(claim)} == set(self.service.store.audit)
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

    def _is_at_polar(self, claim: Claim) -> bool:
        return all(grant.key in self.service.polar.events for grant in claim.grants)

    def _clawbacks(self) -> Iterator[Clawback]:
        return clawbacks(self.accepted.values(), self.service.store.claims)


def _amounts(claim: Claim) -> Amounts:
    return {grant.meter: {part.rule: part.units for part in grant.parts} for grant in claim.grants}


def _keys(claim: Claim) -> list[str]:
    return [grant.key for grant in claim.grants]


def _parts(claim: Claim) -> list[Part]:
    return [part for grant in claim.grants for part in grant.parts]


Exact.TestCase.settings = length(100)
_quiet = pytest.mark.usefixtures("quiet")
_patient = pytest.mark.timeout(600)  # a failure takes minutes to be made short
TestModel = pytest.mark.heavy(_patient(_quiet(Exact.TestCase)))
