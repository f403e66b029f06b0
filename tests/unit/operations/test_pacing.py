"""What can wait takes its turn: it waits while there is no room, and asks again where Polar hiccups."""

from collections.abc import Callable
from datetime import timedelta
from typing import cast

import pytest

from tests.support.fake_service import BROKEN, DENIED, UNREACHABLE, limited
from workers.errors import PolarDeniedError, PolarUnreachableError
from workers.operations.pacing import Pacer
from workers.store.throttle import Pause, Throttle


class Room:
    """Pauses that have room for a request after these seconds, one after the other."""

    def __init__(self, *seconds: float, pause: Pause | None = None) -> None:
        self._seconds = list(seconds)
        self._pause = pause
        self.asked: list[bool] = []
        self.slowed_down: list[tuple[float, str]] = []
        self.reduced = timedelta(0)
        self.is_awaited = False

    def background_delay(self, *, take: bool, is_awaited: bool = False) -> timedelta:
        """Return the next wait; none when there is no more."""
        self.asked.append(take)
        self.is_awaited = is_awaited
        return timedelta(seconds=self._seconds.pop(0) if self._seconds else 0)

    def pause_for_rate_limit(self, seconds: float, reason: str) -> None:
        """Note that everybody waits."""
        self.slowed_down.append((seconds, reason))

    def reduced_for(self) -> timedelta:
        """Return how long the share is still reduced."""
        return self.reduced

    def current_pause(self) -> Pause | None:
        """Return the pause that stands."""
        return self._pause


def pacer_in(room: Room, *, fail_fast: bool = False) -> tuple[Pacer, list[float]]:
    slept: list[float] = []
    return Pacer(throttle=cast(Throttle, room), sleep=slept.append, fail_fast=fail_fast), slept


def answers(*given: object) -> Callable[[], object]:
    """Return a request that meets these one after the other; an error is raised."""
    left = list(given)

    def request() -> object:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return request


def test_where_there_is_room_nobody_waits() -> None:
    pacer, slept = pacer_in(Room())
    assert pacer.ask(answers("well")) == "well"
    assert slept == []


def test_where_there_is_none_it_is_waited_for_and_then_taken() -> None:
    room = Room(0.4, 2)
    pacer, slept = pacer_in(room)
    assert pacer.ask(answers("well")) == "well"
    assert slept == [0.4, 2]
    assert room.asked == [True, True, True]


def test_to_wait_without_asking_takes_nothing() -> None:
    room = Room()
    pacer_in(room)[0].wait(take=False)
    assert room.asked == [False]


def test_what_is_held_up_for_minutes_gives_up_and_says_why() -> None:
    pause = Pause(reason="Polar answered 500", left=timedelta(seconds=60))
    pacer, slept = pacer_in(Room(60, 60, 60, pause=pause))
    with pytest.raises(PolarUnreachableError, match="Polar answered 500"):
        pacer.ask(answers())
    assert slept == [60, 60]


def test_for_a_rate_limit_everybody_waits_and_we_with_them() -> None:
    room = Room(0, 60)
    pacer, slept = pacer_in(room)
    assert pacer.ask(answers(limited(60), "well")) == "well"
    assert room.slowed_down == [(60, "Polar answered 429")]
    assert slept == [60]


def test_a_hiccup_is_asked_again_and_an_outage_given_up() -> None:
    pacer, slept = pacer_in(Room())
    assert pacer.ask(answers(BROKEN, UNREACHABLE, "well")) == "well"
    assert slept == [1, 5]
    with pytest.raises(PolarUnreachableError):
        pacer.ask(answers(*[UNREACHABLE] * 4))


def test_a_refused_token_is_not_asked_with_again() -> None:
    pacer, slept = pacer_in(Room())
    with pytest.raises(PolarDeniedError):
        pacer.ask(answers(DENIED))
    assert slept == []


def seen_by_a_person(room: Room) -> tuple[Pacer, list[tuple[float, str]]]:
    shown: list[tuple[float, str]] = []
    show_wait = lambda seconds, why: shown.append((seconds, why))  # noqa: E731 - one line is enough
    return Pacer(throttle=cast(Throttle, room), sleep=lambda _: None, show_wait=show_wait), shown


def test_who_waits_is_told_for_what_and_how_long() -> None:
    pause = Pause(reason="Polar answered 500", left=timedelta(seconds=60))
    pacer, shown = seen_by_a_person(Room(60, pause=pause))
    pacer.ask(answers("well"))
    assert shown == [(60, "Polar answered 500")]


def test_a_share_that_a_429_reduced_is_named_as_what_is_waited_for() -> None:
    room = Room(16, 5)
    pacer, shown = seen_by_a_person(room)
    room.reduced = timedelta(minutes=4)
    pacer.ask(answers("well"))
    assert shown[0] == (16, "our share of Polar's rate limit is smaller after a 429")
    room.reduced = timedelta(0)
    room._seconds = [5]
    pacer.ask(answers("well"))
    assert shown[-1] == (5, "live webhooks go first")


def test_only_where_a_person_waits_a_reduced_share_grows_back_sooner() -> None:
    room = Room()
    pacer_in(room)[0].ask(answers("well"))
    assert not room.is_awaited
    seen_by_a_person(room)[0].ask(answers("well"))
    assert room.is_awaited


def test_of_moments_nobody_is_told() -> None:
    pacer, shown = seen_by_a_person(Room(2, 3))
    pacer.ask(answers(BROKEN, "well"))
    assert shown == []


def test_an_outage_that_nobody_has_met_before_is_told_with_its_reason() -> None:
    pacer, shown = seen_by_a_person(Room())
    with pytest.raises(PolarUnreachableError):
        pacer.ask(answers(*[UNREACHABLE] * 4))
    assert shown == [(5, str(UNREACHABLE)), (15, str(UNREACHABLE))]


def test_all_waiting_for_one_answer_together_is_two_minutes_at_most() -> None:
    pause = Pause(reason="Polar answered 500", left=timedelta(seconds=50))
    pacer, slept = pacer_in(Room(50, 0, 50, 0, 50, pause=pause))
    with pytest.raises(PolarUnreachableError, match="Polar answered 500"):
        pacer.ask(answers(BROKEN, BROKEN, BROKEN))
    assert slept == [50, 1, 50, 5]


def test_who_only_looks_hears_of_a_pause_at_once() -> None:
    pause = Pause(reason="Polar answered 500", left=timedelta(seconds=60))
    pacer, slept = pacer_in(Room(60, pause=pause), fail_fast=True)
    with pytest.raises(PolarUnreachableError, match="no requests to Polar for now: Polar answered 500"):
        pacer.ask(answers())
    assert slept == []


def test_who_only_looks_waits_out_a_pause_of_moments() -> None:
    """Our share is used up now and then, and has room again at once."""
    pause = Pause(reason="our share of Polar's rate limit is used up", left=timedelta(seconds=0.4))
    pacer, slept = pacer_in(Room(0.4, pause=pause), fail_fast=True)
    assert pacer.ask(answers("well")) == "well"
    assert slept == [0.4]


def test_who_only_looks_waits_for_room_and_through_one_hiccup() -> None:
    pacer, slept = pacer_in(Room(30), fail_fast=True)
    assert pacer.ask(answers(BROKEN, "well")) == "well"
    assert slept == [30, 1]
    with pytest.raises(PolarUnreachableError):
        pacer.ask(answers(UNREACHABLE, UNREACHABLE))
    assert slept == [30, 1, 1]
