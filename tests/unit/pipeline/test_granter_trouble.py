"""Workers that die or sleep, and a Polar that is away: no credit is lost, and none is made twice."""

import pytest
from structlog.testing import capture_logs

from tests.support.builders import CUSTOMER, order_webhook, some_id
from tests.support.fake_service import (
    BOTH_METERS,
    BROKEN,
    DENIED,
    NOBODY,
    TEN,
    UNREACHABLE,
    crash,
    die,
    limited,
    purchases,
    shop_with,
    work_but_before_settling,
)
from tests.support.killed import KilledError
from workers.core.delivery import Status
from workers.errors import PolarError, PolarRefusedError
from workers.timings import DEFAULT_TIMINGS

# Crashes


def test_killed_before_polar_was_asked_the_order_is_credited_by_the_next() -> None:
    shop = shop_with(order_webhook())
    shop.polar.script = [KilledError()]
    crash(shop)
    assert shop.polar.events == {}
    assert shop.work()["msg-1"].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10


def test_killed_after_polar_took_it_and_before_that_was_written_down_it_is_one_credit() -> None:
    shop = shop_with(order_webhook())
    crash(shop, lambda: work_but_before_settling(shop, die))
    assert shop.polar.balance(CUSTOMER) == 10
    assert shop.store.audit == []
    assert shop.work()["msg-1"].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10
    assert len(shop.store.audit) == 1
    assert len(shop.polar.requests) == 2


def test_a_killed_workers_share_is_nobodys_until_its_lease_is_over() -> None:
    shop = shop_with(order_webhook())
    shop.store.lease(DEFAULT_TIMINGS.deliveries_per_lease)
    shop.clock.advance(DEFAULT_TIMINGS.lease_seconds - 0.001)
    assert shop.work() == {}
    shop.clock.advance(0.001)
    assert shop.work()["msg-1"].status is Status.GRANTED


def test_an_answer_that_is_lost_is_asked_for_again_and_credited_once() -> None:
    shop = shop_with(order_webhook())
    shop.polar.loses_answers = 1
    assert shop.work()["msg-1"].status is Status.WAITING
    shop.clock.advance(60)
    assert shop.work()["msg-1"].status is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10


# Outages


@pytest.mark.parametrize(
    "error", [UNREACHABLE, DENIED, limited(60), BROKEN], ids=["away", "401", "429", "500"]
)
def test_in_an_outage_every_worker_waits_and_no_delivery_uses_up_its_retries(error: PolarError) -> None:
    shop = shop_with(*purchases(3))
    shop.polar.script = [error]
    outcomes = shop.work()
    assert {(one.status, one.reason, one.strike) for one in outcomes.values()} == {
        (Status.WAITING, str(error), False)
    }
    assert shop.work() == {}  # the pause
    shop.clock.advance(60)
    assert {one.status for one in shop.work().values()} == {Status.GRANTED}
    assert {kept.strikes for kept in shop.store.deliveries.values()} == {0}
    assert shop.store.outages == 0


@pytest.mark.parametrize(
    "error", [UNREACHABLE, DENIED, limited(60), BROKEN], ids=["away", "401", "429", "500"]
)
def test_an_outage_of_two_days_fails_no_delivery(error: PolarError) -> None:
    shop = shop_with(*purchases(5))
    shop.polar.script = [error] * 100_000
    for _ in range(2 * 24 * 6):
        shop.work()
        shop.clock.advance(600)
    assert {(kept.status, kept.strikes) for kept in shop.store.deliveries.values()} == {(Status.WAITING, 0)}
    shop.polar.script = []
    assert len(shop.work()) == 1  # the probe, as small as can be after so long
    assert {one.status for one in shop.work().values()} == {Status.GRANTED}
    assert [shop.polar.balance(some_id(n)) for n in range(1, 6)] == [10] * 5


@pytest.mark.parametrize("seconds", [1, 17, 3600])
def test_a_rate_limits_pause_is_its_retry_after(seconds: float) -> None:
    shop = shop_with(order_webhook())
    shop.polar.script = [limited(seconds)]
    shop.work()
    assert shop.store.last_pause == (seconds, "Polar answered 429")


def test_pauses_grow_while_polar_stays_away() -> None:
    shop = shop_with(order_webhook())
    shop.polar.script = [UNREACHABLE] * 8
    lengths = []
    while shop.polar.script:
        shop.work()
        assert shop.store.last_pause is not None
        lengths.append(shop.store.last_pause[0])
        shop.clock.advance(lengths[-1])
    assert lengths == [1, 2, 4, 8, 16, 32, 60, 60]


def test_after_a_pause_one_worker_asks_and_the_others_wait_for_what_it_finds() -> None:
    shop = shop_with(*purchases(2 * DEFAULT_TIMINGS.deliveries_per_lease))
    shop.polar.script = [UNREACHABLE]
    shop.work()
    shop.clock.advance(60)
    probe = shop.store.lease(DEFAULT_TIMINGS.deliveries_per_lease)
    assert (len(probe.deliveries), probe.outages) == (DEFAULT_TIMINGS.deliveries_per_lease // 2, 1)
    assert shop.work() == {}
    shop.granter.run(probe)
    assert len(shop.work()) == DEFAULT_TIMINGS.deliveries_per_lease


def test_a_probe_that_had_nothing_to_send_lets_another_ask() -> None:
    shop = shop_with(order_webhook())
    shop.polar.script = [UNREACHABLE]
    shop.work()
    shop.rules = NOBODY
    shop.store.claims.clear()
    shop.clock.advance(60)
    assert shop.work()["msg-1"].status is Status.SKIPPED
    shop.receive("msg-2", order_webhook(id=some_id(2)))
    shop.rules = TEN
    assert shop.work()["msg-2"].status is Status.GRANTED


def test_the_log_line_of_a_retried_delivery_has_the_fields_of_a_granted_one() -> None:
    shop = shop_with(*purchases(2))
    shop.polar.breaks_at = lambda event: bool(event["customer_id"] == some_id(2))
    shop.work()
    shop.clock.advance(1)
    with capture_logs() as told:
        shop.work()
    (line,) = [one for one in told if one["event"] == "waiting"]
    assert line == {
        "event": "waiting",
        "log_level": "warning",
        "delivery": "msg-2",
        "order": some_id(2),
        "customer": some_id(2),
        "credits": None,
        "rules": ["pack"],
        "keys": [f"credits:order:{some_id(2)}:api_usage"],
        "reason": "Polar answered 500",
    }


def test_the_log_line_of_a_partly_credited_delivery_has_the_part_and_the_reason() -> None:
    shop = shop_with(order_webhook(), rules=BOTH_METERS)
    images = PolarRefusedError("Polar answered 422", named={1: "no such meter"})
    shop.polar.script = [images]
    with capture_logs() as told:
        assert shop.work()["msg-1"].status is Status.FAILED
    (line,) = told
    assert (line["event"], line["credits"]) == ("failed", "10 api_usage")
    assert line["reason"] == "refused by Polar: no such meter"


def test_an_event_that_polar_stumbles_over_is_put_off_alone() -> None:
    shop = shop_with(*purchases(3))
    shop.polar.breaks_at = lambda event: bool(event["customer_id"] == some_id(2))
    shop.work()  # the first 500 is taken for an outage
    shop.clock.advance(1)
    outcome = shop.work()["msg-2"]
    assert (outcome.status, outcome.after_seconds, outcome.strike) == (Status.WAITING, 10, True)
    assert [shop.status(f"msg-{n}") for n in (1, 3)] == [Status.GRANTED] * 2
    shop.clock.advance(9.999)
    assert shop.work() == {}
    shop.polar.breaks_at = lambda event: False
    shop.clock.advance(0.001)
    assert shop.work()["msg-2"].status is Status.GRANTED


def test_an_event_that_polar_stumbles_over_fails_at_last_while_all_others_pass() -> None:
    shop = shop_with(order_webhook(id=some_id(500)))
    stone = f"credits:order:{some_id(500)}:api_usage"
    shop.polar.breaks_at = lambda event: event["external_id"] == stone
    for number in range(1, 1_000):
        shop.receive(f"other-{number}", order_webhook(id=some_id(number + 1_000)))
        shop.work()
        if shop.status("msg-1") is Status.FAILED:
            break
        shop.clock.advance(120)
    assert "(6 times, while others passed)" in shop.store.deliveries["msg-1"].reason
    shop.clock.advance(120)
    shop.work()
    others = {id_: kept.status for id_, kept in shop.store.deliveries.items() if id_ != "msg-1"}
    assert set(others.values()) == {Status.GRANTED}


# A worker that sleeps past its lease


def test_a_sleeper_that_wakes_when_all_is_done_changes_nothing() -> None:
    shop = shop_with(order_webhook())

    def another_does_it() -> None:
        shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
        assert shop.work()["msg-1"].status is Status.GRANTED

    work_but_before_settling(shop, another_does_it)
    assert shop.status("msg-1") is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10
    assert len(shop.store.audit) == 1


def test_a_worker_that_lost_its_lease_logs_nothing_about_the_delivery() -> None:
    """Its outcome was not stored, so a log line would contradict the ledger."""
    shop = shop_with(order_webhook(id=some_id(1)), order_webhook(id=some_id(2)), rules=NOBODY)

    def another_takes_the_first() -> None:
        shop.replay("msg-1")

    with capture_logs() as told:
        outcomes = work_but_before_settling(shop, another_takes_the_first)
    assert list(outcomes) == ["msg-2"]
    assert [one["delivery"] for one in told] == ["msg-1", "msg-2"]  # the first by the other


def test_a_sleepers_skip_by_old_rules_does_not_undo_anothers_credit() -> None:
    shop = shop_with(order_webhook(), rules=NOBODY)

    def another_grants() -> None:
        shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
        shop.rules = TEN
        shop.work()

    work_but_before_settling(shop, another_grants)
    assert shop.status("msg-1") is Status.GRANTED
    assert shop.polar.balance(CUSTOMER) == 10


def test_a_sleepers_skip_by_old_rules_does_not_end_what_another_has_claimed_and_waits_with() -> None:
    """The claim is frozen; a delivery that ended as skipped now would never see it credited."""
    shop = shop_with(order_webhook(), rules=NOBODY)

    def another_claims_and_meets_an_outage() -> None:
        shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
        shop.rules = TEN
        shop.polar.script = [UNREACHABLE]
        assert shop.work()["msg-1"].status is Status.WAITING

    work_but_before_settling(shop, another_claims_and_meets_an_outage)
    shop.clock.advance(60)
    shop.work()
    assert shop.polar.balance(CUSTOMER) == 10


def test_a_sleeper_freezes_nothing_by_old_rules_that_another_has_skipped_by_new_ones() -> None:
    """Else there would be a credit whose delivery says that there is none, and why."""
    shop = shop_with(order_webhook())
    lease = shop.store.lease(1)
    shop.clock.advance(DEFAULT_TIMINGS.lease_seconds)
    shop.rules = NOBODY
    shop.work()
    shop.rules = TEN
    shop.granter.run(lease)
    assert shop.status("msg-1") is Status.SKIPPED
    assert (shop.store.claims, shop.polar.requests) == ({}, [])
