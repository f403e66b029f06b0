"""Checks each worker's behaviour from outside: its requests, its pauses, and which events it fails."""

from datetime import timedelta

from tests.chaos.basic_promises import BasicPromises
from tests.chaos.model_keys import INSTALMENTS, SUBSCRIPTION_OF
from tests.chaos.own_deliveries import key_of_instalment
from tests.chaos.paid_years import says
from tests.chaos.runs import Run
from workers.core.delivery import Outcome, Status
from workers.errors import (
    PolarBrokenError,
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)

_OUTAGE_ERRORS = (PolarUnreachableError, PolarDeniedError, PolarRateLimitedError)
_MOST_EVENTS = 500
_MOST_IN_DOUBT = 3  # single events that fail before Polar is considered down
_LONGEST_PAUSE_SECONDS = 60.0
_RETRY_AFTER_SECONDS = 5.0  # as Polar says in its bad mood
_BLIND_SECONDS = 10.0  # until the next try to look subscriptions up
_LOOKED_AT_EVERY = timedelta(days=1)
_RETRIES = [10, 30, 90, 270, 810]
STRANGER = "refused by Polar: customer_id: Customer does not exist."
STONE = "refused by Polar: Polar answered 500 (6 times, while others passed)"
REFUSALS = {
    STRANGER,
    STONE,
    "refused by Polar: "
    + "; ".join(sorted(one.removeprefix("refused by Polar: ") for one in (STRANGER, STONE))),
}


class WorkerPromises(BasicPromises):
    """The model with a durable Redis: workers send, pause and fail events as promised."""

    def check(self) -> None:
        """Check the actions of this step as well."""
        super().check()
        self.requests_are_sorted_and_stop_when_polar_is_away()
        self.workers_pause_exactly_during_an_outage()
        self.a_lost_lease_settles_nothing()
        self.only_bad_content_uses_up_retries()
        self.a_delivery_is_granted_if_it_made_grants()
        self.instalments_are_begun_only_when_polar_shows_that_they_are_paid()

    def requests_are_sorted_and_stop_when_polar_is_away(self) -> None:
        """Each request has only unsettled keys, sorted, and counts against our share of the rate limit."""
        for run in self.service.work_log.over:
            open_keys = {key for keys in run.open.values() for key in keys}
            for request in run.requests:
                assert request.was_its_turn
                assert request.keys == sorted(set(request.keys) & open_keys)
                assert 1 <= len(request.keys) <= _MOST_EVENTS
            assert not any(isinstance(one.error, _OUTAGE_ERRORS) for one in run.requests[:-1])
            lone = [one for one in run.requests if len(one.keys) == 1 and _is_broken(one.error)]
            assert run.accepted or len(lone) <= _MOST_IN_DOUBT
            if run.requests and len(run.requests[0].keys) > 1 and _is_broken(run.requests[0].error):
                # The first 500 is taken for an outage; the next may be an event's fault.
                assert run.was_put_off or (len(run.requests) > 1) == bool(run.lease.outages)

    def workers_pause_exactly_during_an_outage(self) -> None:
        """It is no outage if any event passes; an unclear error is taken for an outage."""
        for run in self.service.work_log.over:
            errors = [one.error for one in run.requests if one.error]
            answered = bool(run.accepted) or any(isinstance(one, PolarRefusedError) for one in errors)
            assert ("end outage" in run.calls) == (bool(run.lease.outages) and answered)
            assert ("release probe" in run.calls) == (bool(run.lease.outages) and not answered)
            assert len(run.throttle) == _is_outage(run)
            for seconds in run.throttle:
                if isinstance(errors[-1], PolarRateLimitedError):
                    assert seconds == _RETRY_AFTER_SECONDS
                else:
                    assert seconds == min(2**run.lease.outages, _LONGEST_PAUSE_SECONDS)

    def a_lost_lease_settles_nothing(self) -> None:
        """The ledger reports the lost deliveries, and the worker returns no outcome for them."""
        for run in self.service.work_log.over:
            assert run.lost is not None
            assert run.lost[0] == run.lost[1]
            assert run.reported == {one.id for one in run.lease.deliveries} - run.lost[1]

    def only_bad_content_uses_up_retries(self) -> None:
        """A strike is an event that failed alone while another passed; the sixth fails the delivery."""
        for run, outcome in self.service.work_log.ended:
            broken = _broken_alone(run, outcome)
            if outcome.status is Status.WAITING and outcome.strike:
                assert run.accepted
                assert outcome.after_seconds == max(_RETRIES[run.strikes[run.makers[key]]] for key in broken)
            elif outcome.status is Status.WAITING and key_of_instalment(outcome.delivery_id):
                self._assert_instalment_waits(run, outcome)
            elif outcome.status is Status.WAITING:
                assert outcome.after_seconds == 0
                assert run.was_put_off or _is_outage(run)
            elif outcome.reason == STONE:
                assert run.accepted
                assert any(run.strikes[run.makers[key]] == len(_RETRIES) for key in broken)
                assert self.service.polar.ever_stumbled
            elif outcome.reason == STRANGER:
                assert self.sent(outcome.delivery_id).customer_id in self.service.polar.ever_strangers

    def _assert_instalment_waits(self, run: Run, outcome: Outcome) -> None:
        """It waits for Polar's answer, or to be looked up again; or it goes back until another time."""
        key = key_of_instalment(outcome.delivery_id) or ""
        if outcome.put_back is None:
            assert outcome.after_seconds == (_BLIND_SECONDS if run.was_blind else 0)
            assert run.was_blind or run.was_put_off or _is_outage(run)
            return
        order_id, number, meter = INSTALMENTS[key]
        row, at = run.looked[SUBSCRIPTION_OF[order_id]]
        date, back = self.date_of(order_id, number, meter), outcome.put_back
        revokes = [one for one in self.accepted.values() if one.order_id == order_id and one.revokes]
        is_being_revoked = at >= date and any(one.revokes in {"*", meter} for one in revokes)
        assert says(row, at, date) == "wait" or (is_being_revoked and "revoke" in back.reason)
        assert (back.until, back.number, back.meter) == (
            date if at < date else at + _LOOKED_AT_EVERY,
            number,
            meter,
        )

    def instalments_are_begun_only_when_polar_shows_that_they_are_paid(self) -> None:
        """Polar was asked in the same lease, and it was time by its clock."""
        for run, key in self.service.work_log.begun:
            order_id, number, meter = INSTALMENTS[key]
            row, at = run.looked[SUBSCRIPTION_OF[order_id]]
            assert says(row, at, self.date_of(order_id, number, meter)) == "give"

    def a_delivery_is_granted_if_it_made_grants(self) -> None:
        """It claimed them, or was the first of its lease to send them. Every other delivery is skipped."""
        for run, outcome in self.service.work_log.ended:
            made = run.makes | {run.makers[key] for key in run.accepted}
            if outcome.status in (Status.GRANTED, Status.SKIPPED):
                assert (outcome.delivery_id in made) == (outcome.status is Status.GRANTED)


def _is_broken(error: PolarError | None) -> bool:
    return isinstance(error, PolarBrokenError)


def _is_outage(run: Run) -> bool:
    """Return whether Polar was away, or failed without an event at fault."""
    if any(isinstance(one.error, _OUTAGE_ERRORS) for one in run.requests):
        return True
    broken = [len(one.keys) for one in run.requests if _is_broken(one.error)]
    # During an outage already, a batch that breaks is halved: an event may be to blame.
    return not run.accepted and any(events == 1 or not run.lease.outages for events in broken)


def _broken_alone(run: Run, outcome: Outcome) -> set[str]:
    alone = {one.keys[0] for one in run.requests if len(one.keys) == 1 and _is_broken(one.error)}
    return run.open.get(outcome.delivery_id, set()) & alone
