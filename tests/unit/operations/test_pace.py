"""How many credit events are sent at a time to a storefront that takes them, and to one that does not."""

from workers.operations.outbox.pace import Pace


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pace_at(clock: Clock) -> Pace:
    return Pace(most=32, refusals=3, longest_pause_seconds=4, now=clock)


def refuse(pace: Pace, times: int) -> None:
    for _ in range(times):
        pace.note(is_taken=False)


def test_a_few_refusals_slow_nothing_down() -> None:
    pace = pace_at(Clock())
    refuse(pace, 2)
    pace.note(is_taken=True)
    refuse(pace, 2)
    assert pace.room == 32


def test_after_refusals_alone_one_goes_through_after_a_pause_that_doubles() -> None:
    clock = Clock()
    pace = pace_at(clock)
    refuse(pace, 3)
    for pause in (1, 2, 4, 4):
        clock.now += pause - 0.5
        assert pace.room == 0
        clock.now += 0.5
        assert pace.room == 1
        refuse(pace, 1)
    assert pace.room == 0


def test_what_was_under_way_prolongs_no_pause() -> None:
    clock = Clock()
    pace = pace_at(clock)
    refuse(pace, 32)
    clock.now = 1
    assert pace.room == 1


def test_the_first_event_that_is_taken_ends_the_pauses() -> None:
    clock = Clock()
    pace = pace_at(clock)
    refuse(pace, 3)
    pace.note(is_taken=True)
    assert pace.room == 32
    refuse(pace, 3)
    clock.now = 1
    assert pace.room == 1  # the pauses begin anew
