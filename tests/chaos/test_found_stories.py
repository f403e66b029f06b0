"""Sequences of steps with which the model once found a bug, real or planted; each is a regression test.

When the model finds another, add the shortest sequence here, as it was printed.
"""

from collections.abc import Iterator

import pytest

from tests.chaos.model_webhooks import ALL
from tests.chaos.polar import Mood
from tests.chaos.scenarios import Change
from tests.chaos.stops import Stop
from tests.chaos.test_model import ExactCredits
from tests.support.builders import some_id
from workers.core.delivery import Status
from workers.timings import DEFAULT_TIMINGS

NOTHING_NEW = Change(file=None, news=None)

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def story() -> Iterator[ExactCredits]:
    """Yield a machine without steps; check every promise after the test, and again when all work is done."""
    state = ExactCredits()
    yield state
    state.what_is_promised_holds()
    state.teardown()


def oversleeps(
    story: ExactCredits, *what: str, until: Stop, change: Change, is_replayed: bool = False
) -> None:
    """Let A sleep with ``what`` while something changes and B does all the work."""
    story.oversleep(
        what=set(what),
        copy="a",
        pair="AB",
        sleeps=until,
        change=change,
        is_replayed=is_replayed,
        comes_to=Stop.END,
    )


by_lease_or_replay = pytest.mark.parametrize("is_replayed", [False, True], ids=["lease over", "replayed"])


@by_lease_or_replay
def test_a_sleeper_freezes_nothing_that_another_has_skipped_by_newer_rules(
    story: ExactCredits, *, is_replayed: bool
) -> None:
    change = Change(file="nothing", news=None)
    oversleeps(story, "order 1", until=Stop.BEFORE_CLAIM, change=change, is_replayed=is_replayed)
    assert story.service.store.claims == {}


@by_lease_or_replay
@pytest.mark.parametrize("until", [Stop.CLAIMED, Stop.BEFORE_SENDING, Stop.SENT, Stop.BEFORE_SETTLING])
def test_a_sleeper_has_no_say_in_what_becomes_of_a_delivery(
    story: ExactCredits, until: Stop, *, is_replayed: bool
) -> None:
    change = Change(file="other amounts", news=None)
    oversleeps(story, "order 1", until=until, change=change, is_replayed=is_replayed)
    assert story.service.store.deliveries["order 1/a"].status is Status.GRANTED


def test_a_sleepers_skip_by_old_rules_leaves_what_another_has_claimed_and_waits_with(
    story: ExactCredits,
) -> None:
    story.change_rules("A", "nothing")
    story.tell("order 1", "a")
    story.work("A", Stop.BEFORE_SETTLING)
    story.wait(DEFAULT_TIMINGS.lease_seconds)
    story.change_mood(Mood.AWAY)
    story.work_to_the_end("B")
    story.work_to_the_end("A")
    assert story.service.store.deliveries["order 1/a"].status is Status.WAITING


def test_what_ended_as_a_failure_is_not_ended_again_by_a_sleeper(story: ExactCredits) -> None:
    oversleeps(
        story,
        "order 1",
        until=Stop.BEFORE_SETTLING,
        change=Change(file="broken", news=None),
        is_replayed=True,
    )
    assert story.service.store.deliveries["order 1/a"].status is Status.GRANTED


@pytest.mark.parametrize("until", [Stop.BEFORE_TAKING_BACK, Stop.TAKEN_BACK, Stop.BEFORE_SETTLING])
@pytest.mark.parametrize("news", ["refund 1: 225", "refund 1: all", "revoke 1", "revoke 1: images"])
def test_two_workers_together_take_back_no_more_than_may_be(
    story: ExactCredits, until: Stop, news: str
) -> None:
    story.tell("order 1", "a")
    story.work_to_the_end("C")
    oversleeps(story, "refund 1: 300", until=until, change=Change(file=None, news=news))


def test_a_sleeper_that_lost_its_refund_takes_back_no_second_time(story: ExactCredits) -> None:
    """It works between another worker's claim of the order and the take-back that follows."""
    story.reverse("refund 1: all", "a")
    story.tell("new Ann", "a")
    story.work("B", Stop.BEFORE_CLAIM)
    story.workers["A"].begin(story.service.reopen("new Ann/a", "refund 1: all/a"))
    story.work_to_the_end("A")
    story.tell("order 1", "a")
    story.work("A", Stop.CLAIMED)
    story.work_to_the_end("B")
    story.work_to_the_end("A")


def test_refunds_in_any_order_take_back_what_the_highest_says(story: ExactCredits) -> None:
    for name in ("refund 1: all", "refund 1: 225", "refund 2: 700, which is all", "refund 2: more than all"):
        story.reverse(name, "a")
    story.tell_many({"order 1", "order 2 told late"}, "a")
    story.work_to_the_end("A")
    story.reverse("refund 2: all", "a")
    story.work_to_the_end("A")


def test_an_event_that_fails_alone_six_times_fails_its_delivery(story: ExactCredits) -> None:
    story.stumble(what={"new Ann"}, stone="Ann", name="A", rounds=7, copy="a")
    assert story.service.store.deliveries["new Ann/a"].status is Status.FAILED


def test_a_refund_waits_together_with_the_order_that_polar_stumbles_over(story: ExactCredits) -> None:
    story.stumble(what={"order 1"}, stone="Ann", name="A", rounds=2, copy="a")
    story.stumble(what={"refund 1: all"}, stone="Ann", name="A", rounds=1, copy="a")


def test_an_order_with_one_event_that_passes_and_one_that_breaks_waits(story: ExactCredits) -> None:
    story.stumble(what={"order 1"}, stone="images", name="A", rounds=1, copy="a")
    assert story.service.store.deliveries["order 1/a"].status is Status.WAITING


def test_a_replay_starts_with_all_retries(story: ExactCredits) -> None:
    story.stumble(what={"new Ann"}, stone="Ann", name="A", rounds=7, copy="a")
    story.workers["A"].begin(story.service.reopen("new Ann/a"))
    story.work_to_the_end("A")
    assert story.service.store.deliveries["new Ann/a"].status is Status.WAITING


@pytest.mark.parametrize("requests", [1, 2, 3, 4])
def test_a_rate_limit_after_what_broke_lasts_as_long_as_polar_says(
    story: ExactCredits, requests: int
) -> None:
    what = {"order 1", "new Ann", "new Ben"}
    story.turn(what=what, copy="a", name="A", requests=requests, mood=Mood.LIMITED)


def test_one_stranger_among_many_fails_alone(story: ExactCredits) -> None:
    story.forget_customer_or_not("Ben")
    story.tell_many(set(ALL), "a")
    story.work_to_the_end("A")
    kept = story.service.store.deliveries
    assert kept["order 1/a"].status is Status.GRANTED
    assert kept["order 3/a"].status is Status.FAILED


def test_a_backfilled_order_that_was_credited_and_forgotten_is_no_second_credit(story: ExactCredits) -> None:
    story.tell_many({"order 1", "order 2", "order 4"}, "a")
    story.work_to_the_end("A")
    story.expire()
    for name in ("order 1", "order 2", "order 4"):
        story.backfill(name)
    story.work_to_the_end("A")
    assert story.service.store.deliveries["order 4/backfilled"].status is Status.SKIPPED


def test_a_backfilled_renewal_is_credited_although_its_subscription_has_ended_since(
    story: ExactCredits,
) -> None:
    story.backfill("order 4")
    story.work_to_the_end("A")
    assert story.service.store.deliveries["order 4/backfilled"].status is Status.GRANTED


def test_an_order_is_granted_although_half_of_its_take_back_is_in_doubt(story: ExactCredits) -> None:
    """Polar took one half without an answer, counted it as a duplicate later, and stumbles over the other."""
    story.tell("order 2 told late", "a")
    story.work_to_the_end("A")
    story.stumble_or_not("images")
    story.workers["A"].begin(story.service.reopen("order 2 told late/a"))
    story.change_mood(Mood.SILENT)
    for mood in (Mood.SILENT, Mood.FINE, Mood.FINE, Mood.FINE):
        story.work_to_the_end("A")
        story.change_mood(mood)
        story.wait(1000)
    assert story.service.store.deliveries["order 2 told late/a"].status is Status.GRANTED
    assert "credits:refund:00000000-0002-4000-8000-000000000000:450:images" not in story.service.polar.events
    story.read_back()
    story.what_is_promised_holds()
    assert story.service.store.deliveries[f"take-back-{some_id(2)}"].status is Status.WAITING


def dismiss_a_refused_revoke(story: ExactCredits) -> None:
    """Let Polar credit a plan, then forget Ben and refuse the revoke; a person dismisses that."""
    story.tell("year 8", "a")
    story.work_to_the_end("A")
    story.forget_customer_or_not("Ben")
    story.reverse("revoke 8: seconds", "a")
    story.work_to_the_end("A")
    story.service.dismiss("revoke 8: seconds/a")


def test_instalments_go_on_after_a_revoke_that_polar_refused_and_a_person_dismissed(
    story: ExactCredits,
) -> None:
    dismiss_a_refused_revoke(story)
    story.let_days_pass(7)
    story.forget_customer_or_not("Ben")
    story.finish_all_work()
    second = "credits:instalment:00000000-0008-4000-8000-000000000000:2:seconds"
    assert story.service.store.claims[second].settled


def test_instalments_go_on_although_one_came_due_before_a_person_dismissed_the_refused_revoke(
    story: ExactCredits,
) -> None:
    story.tell("year 8", "a")
    story.work_to_the_end("A")
    story.forget_customer_or_not("Ben")
    story.reverse("revoke 8: seconds", "a")
    story.work_to_the_end("A")
    story.forget_customer_or_not("Ben")
    story.let_days_pass(7)
    story.tick(0)
    story.work_to_the_end("A")
    story.what_is_promised_holds()
    story.service.dismiss("revoke 8: seconds/a")
    story.let_days_pass(1)
    story.finish_all_work()
    second = "credits:instalment:00000000-0008-4000-8000-000000000000:2:seconds"
    assert story.service.store.claims[second].settled


def test_a_dismissed_revoke_takes_back_later_instalments_too_when_a_person_replays_it(
    story: ExactCredits,
) -> None:
    dismiss_a_refused_revoke(story)
    story.forget_customer_or_not("Ben")
    story.let_days_pass(7)
    story.finish_all_work()
    second = "credits:instalment:00000000-0008-4000-8000-000000000000:2:seconds"
    assert story.service.store.claims[second].settled
    story.workers["A"].begin(story.service.reopen("revoke 8: seconds/a", by_name=True))
    story.work_to_the_end("A")


def test_a_refund_that_waits_for_an_instalment_takes_its_share_when_a_person_dismisses_that(
    story: ExactCredits,
) -> None:
    story.tell("year 8", "a")
    story.work_to_the_end("A")
    story.forget_customer_or_not("Ben")
    story.let_days_pass(7)
    story.tick(0)
    story.work_to_the_end("A")
    story.reverse("refund 8: 225", "a")
    story.work_to_the_end("A")
    story.service.dismiss("instalment-00000000-0008-4000-8000-000000000000-2-seconds")
    story.forget_customer_or_not("Ben")
    story.finish_all_work()
    assert "credits:refund:00000000-0008-4000-8000-000000000000:225:seconds" in story.service.polar.events


def test_a_take_back_rests_with_the_backfilled_order_that_told_of_it_when_a_person_dismisses_that(
    story: ExactCredits,
) -> None:
    story.tell("order 1", "a")
    story.work_to_the_end("A")
    story.what_is_promised_holds()
    story.forget_customer_or_not("Ann")
    story.backfill("order 1")
    story.work_to_the_end("A")
    story.service.dismiss("order 1/backfilled")
    story.forget_customer_or_not("Ann")
    story.finish_all_work()
    assert not any("refund" in key for key in story.service.polar.events)
