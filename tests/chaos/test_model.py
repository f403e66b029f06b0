"""The whole service as a model: whatever happens in any order, credits are exact and no delivery is lost.

``NEW_EXAMPLES=1 MODEL_EXAMPLES=20000 MODEL_STEPS=100 pytest tests/chaos/test_model.py --timeout 0`` searches
longer. A failure prints the shortest sequence of steps, for ``test_found_stories.py``, and a
``@reproduce_failure``.
"""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.chaos.basic_promises import length
from tests.chaos.expected_take_backs import TAKEN_BACK, RuleTakeBack, rule_take_backs
from tests.chaos.instalment_promises import InstalmentPromises
from tests.chaos.model_keys import INSTALMENTS
from tests.chaos.model_rules import FILES, METERS
from tests.chaos.model_webhooks import WEBHOOKS
from tests.chaos.worker_promises import REFUSALS
from tests.chaos.world import Amounts, RulesFile, SentWebhook
from workers.core.claims import Claim
from workers.core.delivery import Outcome, Status
from workers.core.grants import Grant, Part
from workers.core.take_back_delivery import take_back_delivery


class ExactCredits(InstalmentPromises):
    """The model with a durable Redis: every amount is the claimed one."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: dict[str, tuple[Grant, ...]] = {}
        self.final: set[str] = set()

    def check(self) -> None:
        """Check the amounts as well."""
        super().check()
        self.a_key_is_always_sent_with_the_same_event()
        self.polar_has_the_claimed_amounts()
        self.only_accepted_grants_are_settled()
        self.claims_follow_the_rules_and_never_change()
        self.a_worker_with_the_lease_claims_everything_its_rules_grant()
        self.every_outcome_has_its_reason()
        self.granted_deliveries_are_at_polar_and_skipped_ones_made_nothing()
        self.no_more_is_taken_back_than_allowed()
        self.nothing_is_sent_that_was_dismissed()
        self.a_final_invoice_stays_one()

    def a_key_is_always_sent_with_the_same_event(self) -> None:
        """Polar keeps the first and ignores a different one silently, so nobody would notice."""
        assert not self.service.polar.contradictions

    def polar_has_the_claimed_amounts(self) -> None:
        """And nothing else."""
        if not self.new_events:
            return
        frozen = {grant.key: grant for claim in self._claims() for grant in claim.grants}
        for key, event in self.new_events.items():
            grant, data = frozen[key], event["metadata"]
            assert (event["name"], event["customer_id"]) == (grant.meter, grant.customer_id)
            assert Decimal(str(data[METERS[grant.meter]])) == -sum(part.units for part in grant.parts)
            assert data["rules"] == ",".join(part.rule for part in grant.parts)

    def only_accepted_grants_are_settled(self) -> None:
        """Each is settled once."""
        settled = set(self.service.store.audit)
        assert settled <= self.service.polar.events.keys()
        assert len(self.service.store.audit) == len(settled)

    def claims_follow_the_rules_and_never_change(self) -> None:
        """Each claim follows the rules of the worker that made it, part by part, unless it was released."""
        gone = self.frozen.keys() - self.service.store.claims.keys()
        for subject in gone.union(self.service.work_log.released):
            self.frozen.pop(subject, None)
        for subject, claim in self.service.store.claims.items():
            if subject not in self.frozen:
                self._assert_as_ruled(claim, self.service.work_log.frozen[subject])
            assert self.frozen.setdefault(subject, claim.grants) == claim.grants

    def _assert_as_ruled(self, claim: Claim, file: RulesFile) -> None:
        assert all(part.units for part in _parts(claim))
        if claim.subject.startswith(TAKEN_BACK):
            return
        if claim.subject in INSTALMENTS:
            self.assert_less_its_share(claim)
            return
        sent = self.accepted[claim.delivery_id]
        expected = file.expects(sent)
        assert expected is not None
        assert _amounts(claim) == expected.get(claim.subject, {})
        rules = {part.rule for part in _parts(claim)}
        assert {part.rule for part in _parts(claim) if part.revocable} == file.revokes(sent) & rules
        assert {part.rule for part in _parts(claim) if part.disputable} == (
            file.revokes_disputed(sent) & rules
        )
        assert expected.keys() <= self.service.store.claims.keys()  # claimed together, or before

    def a_worker_with_the_lease_claims_everything_its_rules_grant(self) -> None:
        """Unless the fact was claimed before."""
        for run, delivery_id in self.service.work_log.planned:
            file, sent = run.file, self.sent(delivery_id)
            assert file.expects(sent) is None or self._is_seen_to(file, sent)

    def every_outcome_has_its_reason(self) -> None:
        """Each status follows from the rules and Polar's answers."""
        for run, outcome in self.service.work_log.ended:
            self._assert_reason(run.file, self.sent(outcome.delivery_id), outcome)

    def _assert_reason(self, file: RulesFile, sent: SentWebhook, outcome: Outcome) -> None:
        if outcome.status is Status.SKIPPED:
            assert self._is_seen_to(file, sent)
        elif outcome.status is Status.FAILED and outcome.reason.startswith("refused by Polar"):
            assert outcome.reason in REFUSALS
        elif outcome.status is Status.FAILED:
            assert file.expects(sent) is None, outcome.reason
        elif outcome.status is Status.GRANTED:
            assert any(self._is_at_polar(claim) for claim in self._made_for(sent))

    def _is_seen_to(self, file: RulesFile, sent: SentWebhook) -> bool:
        claims = self.service.store.claims
        expected = file.expects(sent)
        if sent.subject in self.service.store.dismissed | self.service.store.shown:
            return True
        return sent.subject in claims or (expected is not None and expected.keys() <= claims.keys())

    def granted_deliveries_are_at_polar_and_skipped_ones_made_nothing(self) -> None:
        """A delivery that made grants is never reported as skipped."""
        for claim in self._claims():
            kept = self.service.store.deliveries.get(claim.delivery_id)
            if kept and kept.status is Status.GRANTED:
                assert self._is_at_polar(claim) or self._is_held(claim)
            if kept and kept.status is Status.SKIPPED and not claim.subject.startswith(TAKEN_BACK):
                assert not claim.grants or self._is_at_rest(claim) or self._is_taken_over(claim)

    def _is_held(self, claim: Claim) -> bool:
        """Return whether a take-back waits, or has waited and is due.

        It waits while an amount of its order is in doubt, or an instalment is open.
        """
        if not claim.subject.startswith(TAKEN_BACK):
            return False
        due = self.service.store.deliveries.get(take_back_delivery(claim.order_id or ""))
        if due and due.status in (Status.WAITING, Status.FAILED):
            return True
        of_order = [one for one in self._claims() if one.order_id == claim.order_id]
        instalments = [one for one in of_order if one.subject in INSTALMENTS and not one.is_dismissed]
        return any(one.unconfirmed for one in of_order) or any(one.unsettled for one in instalments)

    def _is_taken_over(self, claim: Claim) -> bool:
        """Return whether a replay by name of another delivery has undone the dismissal of the claim's own."""
        deliveries = self.service.store.deliveries.values()
        return any(one.subject == claim.subject and one.status is not Status.SKIPPED for one in deliveries)

    def no_more_is_taken_back_than_allowed(self) -> None:
        """At most the refunded and disputed share of each part, together; all of it by hand."""
        assert all(one.is_bounded for one in self._rule_take_backs())

    def nothing_is_sent_that_was_dismissed(self) -> None:
        """Neither by a refund, nor by another webhook, nor by a backfill."""
        grants = {grant.key: claim for claim in self._claims() for grant in claim.grants}
        assert not any(self._is_at_rest(grants[key]) for key in self.new_events)

    def a_final_invoice_stays_one(self) -> None:
        """Unless another webhook of the order was credited before."""
        claims = self.service.store.claims
        planned = (self.sent(delivery_id) for _, delivery_id in self.service.work_log.planned)
        self.final |= {sent.subject for sent in planned if sent == WEBHOOKS["order 5"]} - claims.keys()
        assert not self.final & claims.keys()

    def _is_at_rest(self, claim: Claim) -> bool:
        store = self.service.store
        facts = [fact for fact, linked in store.linked.items() if claim.subject in linked]
        if claim.subject.startswith(TAKEN_BACK) or claim.subject in INSTALMENTS:
            return claim.is_dismissed
        return any(fact in store.dismissed for fact in (claim.subject, *facts))

    def check_end(self) -> None:
        """Every claimed grant is at Polar, and exactly the refunded and disputed share was taken back."""
        super().check_end()
        active = [claim for claim in self._claims() if not self._is_at_rest(claim)]
        assert all(self._is_at_polar(claim) and not claim.unsettled for claim in active)
        dismissed = self.service.store.dismissed
        come = [sent for sent in self.accepted.values() if sent.subject not in dismissed]
        lacking = [one for one in rule_take_backs(come, self.service.store.claims) if not one.is_whole]
        assert not lacking, lacking
        settled = set(self.service.store.audit)
        assert {key for claim in active for key in _keys(claim)} <= settled
        assert settled <= {key for claim in self._claims() for key in _keys(claim)}
        for delivery_id, sent in self.accepted.items():
            self._assert_ended(delivery_id, sent)

    def _assert_ended(self, delivery_id: str, sent: SentWebhook) -> None:
        store = self.service.store
        expected = [FILES[name].expects(sent) or {} for name in self.files]
        if all(sent.subject in one for one in expected):
            assert sent.subject in store.claims | store.dismissed | store.shown  # whichever worker was first
        kept = store.deliveries.get(delivery_id)
        assert (
            kept is None or kept.status is not Status.FAILED or self.workers["A"].file.expects(sent) is None
        )

    def _claims(self) -> list[Claim]:
        return list(self.service.store.claims.values())

    def _made_for(self, sent: SentWebhook) -> list[Claim]:
        store = self.service.store
        subjects = [sent.subject, *store.linked.get(sent.subject, [])]
        return [store.claims[one] for one in subjects if one in store.claims and store.claims[one].grants]

    def _is_at_polar(self, claim: Claim) -> bool:
        return all(grant.key in self.service.polar.events for grant in claim.grants)

    def _rule_take_backs(self) -> Iterator[RuleTakeBack]:
        return rule_take_backs(self.accepted.values(), self.service.store.claims)


def _amounts(claim: Claim) -> Amounts:
    return {grant.meter: {part.rule: part.units for part in grant.parts} for grant in claim.grants}


def _keys(claim: Claim) -> list[str]:
    return [grant.key for grant in claim.grants]


def _parts(claim: Claim) -> list[Part]:
    return [part for grant in claim.grants for part in grant.parts]


ExactCredits.TestCase.settings = length(100)
_quiet = pytest.mark.usefixtures("quiet")
_patient = pytest.mark.timeout(600)  # hypothesis needs minutes to shrink a failure
TestModel = pytest.mark.heavy(_patient(_quiet(ExactCredits.TestCase)))
