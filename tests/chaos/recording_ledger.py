"""The ledger as a worker of the model sees it: it can stop the worker, and records what it does."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.expected_take_backs import INSTALMENT, TAKEN_BACK
from tests.chaos.own_deliveries import key_of_instalment
from tests.chaos.runs import Run
from tests.chaos.service import Service
from tests.chaos.stops import Stop, StoppableWork
from tests.support.fake_store.deliveries import TAKES_BACK
from workers.core.claims import Claim, Claimed, Standing
from workers.core.delivery import Outcome
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.plans import Plan


@dataclass(frozen=True)
class RecordingLedger:
    """The store's book; it may be another by the time that a worker goes on: Redis can lose everything."""

    service: Service
    stoppable: StoppableWork
    run: Run

    def claim_and_ask(self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int]) -> Claimed:
        """Claim; the request is left to the throttle."""
        return Claimed(self.claim(plans, attempts), may_ask=None)

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim, and record the standings."""
        self.stoppable.at(Stop.BEFORE_CLAIM)
        had = {one.id for one in self.run.lease.deliveries if self.service.holds(one.id, one.attempt)}
        standings = self.service.store.claim(plans, attempts)
        failing = {id_ for id_, plan in plans if plan.dispute and plan.failure}
        self._note(dict(zip([id_ for id_, _ in plans], standings, strict=True)), had, failing)
        self.stoppable.at(Stop.CLAIMED)
        return standings

    def _note(self, standings: Mapping[str, Standing], had: set[str], failing: set[str]) -> None:
        """Note what each delivery may send; a dispute that needs review sends nothing."""
        run, work_log = self.run, self.service.work_log
        run.planned |= standings.keys() & had
        work_log.planned += [(run, id_) for id_ in standings.keys() & had]
        run.open = {
            id_: {grant.key for claim in self._sent_by(id_, standing) for grant in claim.unsettled}
            for id_, standing in standings.items()
            if id_ not in failing
        }
        run.makers = {key: id_ for id_, keys in reversed(run.open.items()) for key in keys}
        run.makes = {
            id_
            for id_, standing in standings.items()
            if id_ not in failing
            and any(
                claim.grants and claim.delivery_id == id_
                for claim in (*self._sent_by(id_, standing), *_taken_back(standing))
            )
        }
        self._note_frozen()

    def _sent_by(self, delivery_id: str, standing: Standing) -> Iterator[Claim]:
        """Yield the claims that a delivery may send.

        No take-back before its grant or while an amount is in doubt, no grant for a refund, and nothing that
        a person has dismissed.
        """
        if (own := key_of_instalment(delivery_id)) is not None:
            yield from (one for one in standing.claims if one.subject == own and not one.is_dismissed)
            return
        types = {one.id: one.type for one in self.run.lease.deliveries}
        given = [one for one in standing.claims if not one.subject.startswith((*TAKEN_BACK, INSTALMENT))]
        is_at_rest = standing.subject in self.service.store.dismissed and (
            standing.own is None or any(claim.unsettled for claim in given)
        )
        if types[delivery_id] not in TAKES_BACK and not is_at_rest:
            yield from given
        taken = [one for one in standing.claims if one.subject.startswith(TAKEN_BACK)]
        later = [one for one in standing.claims if one.subject.startswith(INSTALMENT)]
        in_doubt = any(one.unconfirmed for one in (standing.own, *taken, *later) if one is not None)
        is_under_way = any(one.unsettled and not one.is_dismissed for one in later)
        if standing.own is not None and not standing.own.unsettled and not in_doubt and not is_under_way:
            yield from (claim for claim in taken if not claim.is_dismissed)

    def _note_frozen(self) -> None:
        for subject in self.service.store.claims:
            self.service.work_log.frozen.setdefault(subject, self.run.file)

    def take_back(self, claims: Sequence[LaterClaim], attempts: Mapping[str, int] | None = None) -> None:
        """Claim take-backs, with stops before and after."""
        self.stoppable.at(Stop.BEFORE_TAKING_BACK)
        before = set(self.service.store.claims)
        self.service.store.take_back(claims, attempts)
        new = self.service.store.claims.keys() - before
        self.service.work_log.begun += [(self.run, one) for one in new if one.startswith(INSTALMENT)]
        self._note_frozen()
        self.stoppable.at(Stop.TAKEN_BACK)

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        """Settle, and record which outcomes were stored."""
        self.stoppable.at(Stop.BEFORE_SETTLING)
        counting = [one for one in outcomes if self.service.holds(one.delivery_id, one.attempt)]
        lost = self.service.store.settle(accepted, outcomes, unconfirmed, following)
        # A settled order takes the lease of its take-back; an instalment that is put back has no delivery.
        counting = [
            one for one in counting if one.put_back or self.service.attempts(one.delivery_id) == one.attempt
        ]
        self.service.count_strikes(counting)
        self.run.lost = ({one.delivery_id for one in outcomes if one not in counting}, lost)
        self.service.work_log.ended += [(self.run, outcome) for outcome in counting]
        self.stoppable.at(Stop.SETTLED)
        return lost


def _taken_back(standing: Standing) -> Iterator[Claim]:
    """Yield the take-backs that Polar has, dismissed or not: they stay those of their deliveries."""
    taken = (claim for claim in standing.claims if claim.subject.startswith(TAKEN_BACK))
    return (claim for claim in taken if not claim.unsettled)
