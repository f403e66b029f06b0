"""After a lost Redis, `rebuild` goes on with instalments where Polar's events end; none comes twice."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from tests.support.builders import rule, rules_of, some_id
from tests.support.killed import KilledError
from tests.support.moving_clock import moves_a_clock
from tests.support.real_stores import RETAIN
from tests.support.years import ORDER, REVOKED, Years, date, instalments, shifted, years
from workers.operations.backfill.run import Backfiller
from workers.operations.pacing import Pacer
from workers.operations.rebuild.run import Rebuilder, RebuildResult
from workers.store import keys
from workers.store.ledger import Ledger
from workers.store.restorations import RestorationStore

pytestmark = [*moves_a_clock, pytest.mark.heavy]  # in each test months pass, on a server of its own


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Years]:
    with years(tmp_path) as service:
        yield service


def pacer_of(service: Years) -> Pacer:
    return Pacer(throttle=service.throttle, sleep=lambda _: None)


def rebuild(
    service: Years, since: datetime | None = None, store: RestorationStore | None = None
) -> RebuildResult:
    """Read the ledger back from Polar."""
    rebuilder = Rebuilder(
        store=store or RestorationStore(service.redis),
        ledger=service.ledger,
        polar=service.client,
        pacer=pacer_of(service),
    )
    found = rebuilder.compare(
        service.rules, now=service.now, since=since, on_progress=lambda _done, _whole: None
    )
    return rebuilder.restore(found, since=since, on_progress=lambda _done, _whole: None)


def lose(service: Years) -> RebuildResult:
    """Lose all of Redis, and rebuild."""
    service.redis.flushall()
    return rebuild(service)


def backfill(service: Years, *, assume_current: bool = False) -> list[str]:
    """Grant what is missing since 400 days; return what needs review, and run what was granted."""
    backfiller = Backfiller(
        store=service.store, ledger=service.ledger, polar=service.client, pacer=pacer_of(service)
    )
    backlog = backfiller.find_missing(
        service.rules,
        since=service.now - timedelta(days=400),
        until=service.now + timedelta(days=1),
        now=service.now,
        assume_current=assume_current,
    )
    list(backfiller.grant(backlog, service.granter))
    return [one.reason for one in backlog.scan.needs_review]


def test_a_year_goes_on_after_its_ledger_was_lost(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(4, 15), step=timedelta(days=15))
    before = service.standing()
    assert lose(service).grants == 3
    after = service.standing()
    assert (after.begun, [one.subject for one in after.claims]) == (
        before.begun,
        [one.subject for one in before.claims],
    )
    assert after.period is not None
    assert before.period is not None
    assert (after.period.start, after.period.end) == (before.period.start, before.period.end)
    assert service.to_come() == {"4 api_usage": date(4, 30)}
    service.work_until(date(12, 31), step=timedelta(days=10))
    assert service.given() == {"order": 1000, **instalments(2, 12)}


@pytest.mark.parametrize("lost_at", [date(2, 27), date(6, 1), date(12, 31)])
def test_whenever_it_is_lost_none_is_given_twice_and_none_is_missing(
    service: Years, lost_at: datetime
) -> None:
    service.buy()
    service.work()
    service.work_until(lost_at, step=timedelta(days=10))
    lose(service)
    rebuild(service)  # a second one changes nothing
    service.work_until(date(1, 15, 2028), step=timedelta(days=10))
    assert service.given() == {"order": 1000, **instalments(2, 12)}
    assert len(service.polar.events) == 12


class DyingStore(RestorationStore):
    """Dies before or after one of its steps."""

    def __init__(self, redis: Redis, step: str, *, after: bool) -> None:
        super().__init__(redis)
        does = getattr(self, step)

        def die(*args: Any) -> None:
            if after:
                does(*args)
            raise KilledError

        setattr(self, step, die)


class CutOffLedger(Ledger):
    """A ledger whose worker dies when Polar has accepted grants, before they are settled."""

    def settle(self, *_args: Any, **_others: Any) -> set[str]:
        raise KilledError


@pytest.mark.parametrize("is_killed", [False, True], ids=["", "and is killed"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_rebuild_that_settles_what_polar_has_of_a_claim_begins_the_next_instalment(
    service: Years, number: int, *, is_killed: bool
) -> None:
    """It does so in the same step: workers that find it settled begin none."""
    service.buy()
    if number == 2:
        service.work()
        service.go_to(date(2, 28))
        service.worker.tick()
    with pytest.raises(KilledError):
        service.work(shifted(service.granter, ledger=CutOffLedger(service.redis, retain=RETAIN)))
    service.redis.delete(keys.DUE)
    if is_killed:
        with pytest.raises(KilledError):
            rebuild(service, store=DyingStore(service.redis, "begin_instalments", after=False))
    else:
        rebuild(service)
    assert service.to_come() == {f"{number + 1} api_usage": date(2, 28) if number == 1 else date(3, 31)}
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.given() == {"order": 1000, **instalments(2, 12)}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["restore", "extend_audit", "begin_instalments"])
def test_a_rebuild_that_is_killed_and_run_again_goes_on_once(
    service: Years, step: str, *, after: bool
) -> None:
    service.buy()
    service.work()
    service.work_until(date(4, 15), step=timedelta(days=15))
    service.redis.flushall()
    with pytest.raises(KilledError):
        rebuild(service, store=DyingStore(service.redis, step, after=after))
    service.work_until(date(5, 15), step=timedelta(days=15))  # somebody started the workers too early
    rebuild(service)
    service.work_until(date(12, 31), step=timedelta(days=10))
    assert service.given() == {"order": 1000, **instalments(2, 12)}
    assert len(service.polar.events) == 12


def test_after_a_backup_was_restored_only_the_newest_are_read_and_it_goes_on(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))
    backup = {key: cast(bytes, service.redis.dump(key)) for key in service.redis.scan_iter()}
    service.work_until(date(5, 15), step=timedelta(days=15))
    service.redis.flushall()
    for key, value in backup.items():
        service.redis.restore(key, 0, value)
    assert rebuild(service, since=date(3, 20)).grants == 2
    service.work_until(date(12, 31), step=timedelta(days=10))
    assert service.given() == {"order": 1000, **instalments(2, 12)}
    assert len(service.polar.events) == 12


def test_what_came_due_while_redis_was_away_is_given_late_and_once(service: Years) -> None:
    service.buy()
    service.work()
    service.go_to(date(6, 1))
    lose(service)
    service.work()
    assert service.given() == {"order": 1000, **instalments(2, 5)}


def test_refunds_before_and_after_take_their_share_of_all(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))
    service.refund(5_000)
    service.work()
    service.work_until(date(4, 15), step=timedelta(days=15))
    assert service.balance() == 2250
    lose(service)
    assert service.standing().refund is not None
    service.work_until(date(5, 15), step=timedelta(days=15))
    assert service.given()["instalment:4"] == 750
    service.refund(20_000)
    service.work()
    assert service.balance() == 0
    service.work_until(date(12, 31), step=timedelta(days=30))
    assert service.balance() == 0


def test_a_full_refund_that_took_nothing_still_ends_the_rest(service: Years) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000}, **{**REVOKED, "on_refund": "keep"}))
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))
    service.refund(20_000)
    service.work()
    lose(service)
    service.work_until(date(6, 1), step=timedelta(days=15))
    assert service.given() == {"order": 1000, **instalments(2, 2)}
    assert service.standing().ended == {"api_usage": "the order was refunded in full"}


def test_a_bonus_at_the_start_comes_once(service: Years) -> None:
    bonus = rule("start", {"api_usage": 500}, triggers=["subscription_create"])
    service.rules = rules_of(rule("pro", {"api_usage": 1000, "images": 7}, **REVOKED), bonus)
    service.buy()
    service.work()
    service.work_until(date(3, 1), step=timedelta(days=15))
    lose(service)
    service.work_until(date(4, 1), step=timedelta(days=15))
    assert service.given() == {"order": 1500, **instalments(2, 3)}
    assert service.given("images") == {"order": 7, **instalments(2, 3, each=7)}


def test_a_later_order_still_replaces_an_earlier_one(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(4, 15), step=timedelta(days=15))
    upgrade = some_id(7002)
    service.buy(upgrade, billing_reason="subscription_update")
    service.work()
    lose(service)
    service.work_until(date(6, 1), step=timedelta(days=15))
    keys_ = [event["external_id"] for event in service.polar.events]
    assert sum(ORDER in key for key in keys_) == 3
    assert sum(upgrade in key for key in keys_) == 2


def test_a_backfill_begins_what_never_began_and_gives_what_was_missed(service: Years) -> None:
    service.buy()
    service.redis.flushall()  # its webhook is lost
    service.go_to(date(4, 15))
    assert backfill(service) == []
    service.work()
    assert service.given() == {"order": 1000, **instalments(2, 3)}
    assert service.to_come() == {"4 api_usage": date(4, 30)}
    backfill(service)
    service.work()
    assert len(service.polar.events) == 3


def test_a_period_that_has_passed_needs_review(service: Years) -> None:
    service.buy()
    service.redis.flushall()
    service.go_to(date(2, 10, 2028))
    shown = service.polar.orders[ORDER].model_dump(mode="json")
    shown["subscription"] |= {
        "current_period_start": "2028-01-31T12:00:00Z",
        "current_period_end": "2029-01-31T12:00:00Z",
    }
    service.polar.add_order(**shown)
    assert backfill(service) == ["subscription.current_period_start"]
    assert service.given() == {}


def test_a_lost_instalment_set_alone_is_made_anew(service: Years) -> None:
    service.buy()
    service.work()
    service.redis.delete(keys.INSTALMENTS)
    rebuild(service)
    assert service.to_come() == {"2 api_usage": date(2, 28)}
    assert service.standing().own is not None
    service.work_until(date(3, 1), step=timedelta(days=15))
    assert service.balance() == Decimal(2000)
