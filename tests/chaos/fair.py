"""What holds of each worker's work, seen from outside: what it asks for, when it waits, whom it blames."""

from tests.chaos.doors import Run
from tests.chaos.sound import Sound
from workers.core.delivery import Outcome, Status
from workers.errors import (
    PolarBrokenError,
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)

_WORLDLY = (PolarUnreachableError, PolarDeniedError, PolarRateLimitedError)
_MOST_EVENTS = 500
_MOST_IN_DOUBT = 3  # single events that break before it is the world that is broken
_LONGEST_PAUSE_SECONDS = 60.0
_RETRY_AFTER_SECONDS = 5.0  # as Polar says in its bad mood
_RETRIES = [10, 30, 90, 270, 810]
STRANGER = "refused by Polar: customer_id: Customer does not exist."
STONE = "refused by Polar: Polar answered 500 (6 times, while others passed)"
REFUSALS = {
    STRANGER,
    STONE,
    "refused by Polar: "
    + "; ".join(sorted(one.removeprefix("refused by Polar: ") for one in (STRANGER, STONE))),
}


class Fair(Sound):
    """A Redis that keeps what it is given, and workers that wait and blame as they should."""

    def check(self) -> None:
        """Look at what was done in this step, as well."""
        super().check()
        self.workers_ask_for_what_is_open_in_turn_and_stop_when_polar_is_away()
        self.everybody_waits_exactly_while_the_world_is_in_the_way()
        self.who_has_lost_a_delivery_is_told_so()
        self.only_content_uses_up_patience()
        self.what_a_worker_makes_it_calls_granted()

    def workers_ask_for_what_is_open_in_turn_and_stop_when_polar_is_away(self) -> None:
        """In requests that are sorted, each paid for from our share of the rate limit."""
        for run in self.service.diary.over:
            open_keys = {key for keys in run.open.values() for key in keys}
            for request in run.requests:
                assert request.was_its_turn
                assert request.keys == sorted(set(request.keys) & open_keys)
                assert 1 <= len(request.keys) <= _MOST_EVENTS
            assert not any(isinstance(one.error, _WORLDLY) for one in run.requests[:-1])
            lone = [one for one in run.requests if len(one.keys) == 1 and _is_broken(one.error)]
            assert run.accepted or len(lone) <= _MOST_IN_DOUBT
            if run.requests and len(run.requests[0].keys) > 1 and _is_broken(run.requests[0].error):
                # The first 500 is taken for an outage; the next may be an event's fault.
                assert run.was_put_off or (len(run.requests) > 1) == bool(run.lease.outages)

    def everybody_waits_exactly_while_the_world_is_in_the_way(self) -> None:
        """It is not if any event passes; what cannot be known is taken for the world's fault."""
        for run in self.service.diary.over:
            errors = [one.error for one in run.requests if one.error]
            answered = bool(run.accepted) or any(isinstance(one, PolarRefusedError) for one in errors)
            assert ("end outage" in run.calls) == (bool(run.lease.outages) and answered)
            assert ("release probe" in run.calls) == (bool(run.lease.outages) and not answered)
            assert len(run.throttle) == _is_in_the_way(run)
            for seconds in run.throttle:
                if isinstance(errors[-1], PolarRateLimitedError):
                    assert seconds == _RETRY_AFTER_SECONDS
                else:
                    assert seconds == min(2**run.lease.outages, _LONGEST_PAUSE_SECONDS)

    def who_has_lost_a_delivery_is_told_so(self) -> None:
        """And has no say in it, nor tells of it."""
        for run in self.service.diary.over:
            assert run.lost is not None
            assert run.lost[0] == run.lost[1]
            assert run.told == {one.id for one in run.lease.deliveries} - run.lost[1]

    def only_content_uses_up_patience(self) -> None:
        """A strike is an event that broke alone while another passed; the sixth is the last."""
        for run, outcome in self.service.diary.ended:
            broken = _broken_alone(run, outcome)
            if outcome.status is Status.WAITING and outcome.strike:
                assert run.accepted
                assert outcome.after_seconds == max(_RETRIES[run.strikes[run.makers[key]]] for key in broken)
            elif outcome.status is Status.WAITING:
                assert outcome.after_seconds == 0
                assert run.was_put_off or _is_in_the_way(run)
            elif outcome.reason == STONE:
                assert run.accepted
                assert any(run.strikes[run.makers[key]] == len(_RETRIES) for key in broken)
                assert self.service.polar.ever_stumbled
            elif outcome.reason == STRANGER:
                assert self.accepted[outcome.delivery_id].customer_id in self.service.polar.ever_strangers

    def what_a_worker_makes_it_calls_granted(self) -> None:
        """What it froze itself, or was the first in its lease to see through; all else it skips."""
        for run, outcome in self.service.diary.ended:
            made = run.makes | {run.makers[key] for key in run.accepted}
            if outcome.status in (Status.GRANTED, Status.SKIPPED):
                assert (outcome.delivery_id in made) == (outcome.status is Status.GRANTED)


def _is_broken(error: PolarError | None) -> bool:
    return isinstance(error, PolarBrokenError)


def _is_in_the_way(run: Run) -> bool:
    """Say whether Polar was away, or broke at what may be nobody's fault but its own."""
    if any(isinstance(one.error, _WORLDLY) for one in run.requests):
        return True
    broken = [len(one.keys) for one in run.requests if _is_broken(one.error)]
    # During an outage already, a batch that breaks is halved: an event may be to blame.
    return not run.accepted and any(events == 1 or not run.lease.outages for events in broken)


def _broken_alone(run: Run, outcome: Outcome) -> set[str]:
    alone = {one.keys[0] for one in run.requests if len(one.keys) == 1 and _is_broken(one.error)}
    return run.open.get(outcome.delivery_id, set()) & alone
