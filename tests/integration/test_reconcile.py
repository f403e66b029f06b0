"""The reconciler on a real Redis: one round at a time over all hosts, and a word where it matters."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from redis import Redis
from redis.exceptions import ConnectionError as RedisGoneError
from structlog.testing import capture_logs

from config.rulebook import Rulebook
from config.rules import parse_rules
from tests.support.builders import CUSTOMER, some_id
from tests.support.fake_service import NOBODY
from tests.support.full_disks import no_file_can_grow
from tests.support.killed import KilledError
from tests.support.ledgers import rebuild
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.processes import TEN
from tests.support.rulebooks import write
from workers.core.delivery import Status
from workers.monitoring.health import examine
from workers.operations import spool
from workers.operations.backfill.scanned_orders import delivery_id_of
from workers.operations.background import Background
from workers.operations.reconcile import Reconciler
from workers.store import keys
from workers.store.counts import Tally
from workers.store.schedule import ReconcileSchedule
from workers.store.scripts import milliseconds_of
from workers.timings import Timings

SIX_HOURS = timedelta(hours=6)
BEGIN = (datetime.now(UTC) - timedelta(days=365)).isoformat()
CREDIT_FROM = TEN.replace("version: 1\n", f"version: 1\ncredit_from: {BEGIN}\n")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
RENEWAL = "order_paid_subscription_cycle_seats_order_seats_null"


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with operations_at(redis) as opened:
        yield opened


def reconciler(
    operations: Operations, folder: Path, rules: str = CREDIT_FROM, every: timedelta = SIX_HOURS
) -> Reconciler:
    """Return a host's reconciler, just started where workers have run for long."""
    operations.redis.set(keys.BEGAN, 1)
    operations.rules = parse_rules(rules, "rules.yaml")
    return Reconciler(
        schedule=ReconcileSchedule(operations.redis, Tally()),
        backfiller=operations.backfiller,
        granter=operations.granter,
        rulebook=Rulebook(write(folder / "rules.yaml", rules)),
        every=every,
    )


def told_by(one: Reconciler) -> list[MutableMapping[str, Any]]:
    """Return what it says of a round, but for what is said of each delivery."""
    with capture_logs() as logs:
        one.run_if_due()
    return [line for line in logs if "delivery" not in line]


def test_what_never_came_is_granted_at_the_first_round_and_told_in_one_line(
    operations: Operations, tmp_path: Path
) -> None:
    sell(operations.polar, 1)
    sell(operations.polar, 2, days_ago=20)
    (line,) = told_by(reconciler(operations, tmp_path))
    assert line == {"event": "reconciled", "log_level": "info", "granted": 2, "credits": "20 api_usage"}
    assert operations.balance() == 20


def test_a_round_with_nothing_to_do_says_nothing(operations: Operations, tmp_path: Path) -> None:
    operations.deliver(sell(operations.polar, 1))
    sell(operations.polar, 2, status="refunded", refunded_amount=1000)
    assert told_by(reconciler(operations, tmp_path)) == []


def test_over_all_hosts_one_round_is_held_until_the_next_is_due(
    operations: Operations, tmp_path: Path
) -> None:
    one, other = (reconciler(operations, tmp_path) for _ in range(2))
    told_by(one)
    sell(operations.polar, 1)
    assert told_by(one) == told_by(other) == []
    assert operations.balance() == 0
    assert operations.redis.pttl(keys.RECONCILED) <= SIX_HOURS.total_seconds() * 1000
    operations.redis.delete(keys.RECONCILED)  # as time would
    assert told_by(other)
    assert operations.balance() == 10


def test_a_short_interval_has_its_round_as_soon_as_it_is_over(operations: Operations, tmp_path: Path) -> None:
    told_by(reconciler(operations, tmp_path, every=timedelta(seconds=90)))
    assert 0 < operations.redis.pttl(keys.RECONCILED) <= 90_000


def test_a_round_that_polar_breaks_off_is_tried_again_soon(operations: Operations, tmp_path: Path) -> None:
    operations.polar.scopes -= {"orders:read"}
    (line,) = told_by(reconciler(operations, tmp_path))
    assert (line["event"], line["log_level"]) == ("reconciliation interrupted", "warning")
    assert "orders:read" in str(line["reason"])
    assert 0 < operations.redis.pttl(keys.RECONCILED) <= 300_000


@contextmanager
def no_room_for_temporary_files() -> Iterator[None]:
    """Put temporary files on a disk that took one before, and is full now."""
    with pytest.MonkeyPatch.context() as patch, no_file_can_grow():
        patch.setattr(spool, "_CACHE_KIB", 1)
        patch.setattr(spool, "_takes_a_file", lambda: True)
        yield


def reconciler_check(operations: Operations) -> tuple[bool, str]:
    (found,) = [one for one in examine(operations.redis) if one.name == "reconciler"]
    return found.ok, found.detail


def test_a_round_that_finds_the_disk_full_says_what_to_do_and_is_tried_again_soon(
    operations: Operations, tmp_path: Path
) -> None:
    for number in range(1, 9):
        sell(operations.polar, number)
    one = reconciler(operations, tmp_path)
    assert reconciler_check(operations)[0]
    with no_room_for_temporary_files():
        (line,) = told_by(one)
    assert (line["event"], line["log_level"]) == ("reconciliation interrupted", "warning")
    is_well, detail = reconciler_check(operations)
    assert not is_well
    assert detail == line["reason"]
    assert detail.startswith("a temporary file cannot be written (")
    assert detail.endswith("make room in /var/tmp, or name a folder with room in TMPDIR")
    assert 0 < operations.redis.pttl(keys.RECONCILED) <= 300_000
    operations.redis.delete(keys.RECONCILED)  # as time would
    assert told_by(one)[0]["granted"] == 8
    assert reconciler_check(operations)[0]


def test_what_a_person_must_look_at_is_named_and_never_assumed(
    operations: Operations, tmp_path: Path
) -> None:
    sell(operations.polar, 1, RENEWAL)
    rules = CREDIT_FROM.replace("api_usage: 10", "api_usage: 10 * seats")
    (line,) = told_by(reconciler(operations, tmp_path, rules))
    assert (line["log_level"], line["needs_review"]) == ("warning", [f"{some_id(1)}: seats"])
    assert operations.balance() == 0


def test_what_polar_refuses_is_named_once_and_is_a_failed_delivery_from_then_on(
    operations: Operations, tmp_path: Path
) -> None:
    sell(operations.polar, 1, customer_id=some_id(999))
    one = reconciler(operations, tmp_path)
    (line,) = told_by(one)
    assert line["log_level"] == "warning"
    assert str(line["not_granted"]).startswith(f"['{some_id(1)}: refused by Polar")
    assert operations.store.get([delivery_id_of(some_id(1))])[0].status is Status.FAILED
    operations.redis.delete(keys.RECONCILED)
    assert told_by(one) == []


def test_by_a_ledger_that_was_lost_nothing_is_claimed_anew(operations: Operations, tmp_path: Path) -> None:
    operations.deliver(sell(operations.polar, 1))
    sell(operations.polar, 2)
    operations.redis.flushall()
    one = reconciler(operations, tmp_path)
    (line,) = told_by(one)
    assert (line["event"], line["log_level"]) == ("reconciliation skipped", "error")
    assert "credits rebuild" in str(line["reason"])
    assert operations.store.count_by_status()[Status.GRANTED] == 0
    rebuild(operations)
    operations.redis.delete(keys.RECONCILED)
    assert [line["left_to_backfill"][0][:2] for line in told_by(one)] == ["1 "]
    assert [one.status for one in operations.backfill()] == [Status.GRANTED]


def test_what_rules_give_since_an_order_was_read_back_is_not_told_at_every_round(
    operations: Operations, tmp_path: Path
) -> None:
    operations.deliver(sell(operations.polar, 1))
    operations.redis.flushall()
    rebuild(operations)
    also = CREDIT_FROM.replace("api_usage: {}", "api_usage: {}, images: {}").replace("10}", "10, images: 5}")
    assert told_by(reconciler(operations, tmp_path, also)) == []


def test_a_rule_that_is_new_is_never_applied_to_what_came_before_it_by_itself(
    operations: Operations, tmp_path: Path
) -> None:
    nobody = CREDIT_FROM.replace("pack,", f"pack, products: [{some_id(1)}],")
    operations.rules = parse_rules(nobody, "rules.yaml")
    assert operations.deliver(sell(operations.polar, 1)) is Status.SKIPPED
    assert told_by(reconciler(operations, tmp_path)) == []
    assert operations.balance() == 0


def expire(operations: Operations, number: int) -> None:
    """Let the delivery of an order expire, as CREDITS_RETAIN would."""
    about = (keys.about(some_id(number)), keys.about(CUSTOMER))
    operations.redis.delete(keys.delivery("msg-1"), keys.body("msg-1"), *about)


def test_an_order_that_was_skipped_is_left_though_its_delivery_has_expired(
    operations: Operations, tmp_path: Path
) -> None:
    """A round each week looks back five weeks, and a delivery lives for 30 days or less."""
    one = reconciler(operations, tmp_path, every=timedelta(days=7))
    in_force, operations.rules = operations.rules, NOBODY
    assert operations.deliver(sell(operations.polar, 1, days_ago=33)) is Status.SKIPPED
    expire(operations, 1)
    operations.rules = in_force
    assert (told_by(one), operations.balance()) == ([], 0)
    assert [one.status for one in operations.backfill(since=LONG_AGO)] == [Status.GRANTED]  # a person may


def test_an_order_from_before_a_worker_first_ran_is_left_to_backfill(
    operations: Operations, tmp_path: Path
) -> None:
    one = reconciler(operations, tmp_path)
    sell(operations.polar, 1, days_ago=2)
    sell(operations.polar, 2, days_ago=1)
    between = datetime.now(UTC) - timedelta(days=1.5)
    operations.redis.set(keys.BEGAN, milliseconds_of(between))
    (line,) = told_by(one)
    assert (line["granted"], line["log_level"], operations.balance()) == (1, "warning", 10)
    (left,) = line["left_to_backfill"]
    assert left.startswith("1 created before a worker first ran here: `credits backfill`")
    assert [one.status for one in operations.backfill()] == [Status.GRANTED]
    operations.redis.delete(keys.RECONCILED)
    assert told_by(one) == []


def test_orders_that_polar_counts_and_does_not_list_are_told(operations: Operations, tmp_path: Path) -> None:
    sell(operations.polar, 1)
    operations.polar.orders["listed twice"] = operations.polar.orders[some_id(1)]
    (line,) = told_by(reconciler(operations, tmp_path))
    assert (line["granted"], line["log_level"], str(line["not_listed"])[:4]) == (1, "warning", "['1 ")


def test_after_a_restored_backup_and_a_rebuild_earlier_orders_are_left_to_backfill(
    operations: Operations, tmp_path: Path
) -> None:
    """The backup is older than the skip of an order, so nobody knows of that."""
    one = reconciler(operations, tmp_path)
    rebuild(operations)
    assert operations.ledger.began_at() is not None  # nothing was lost
    operations.deliver(sell(operations.polar, 1))
    backup = {name: operations.redis.dump(name) for name in operations.redis.scan_iter()}
    operations.deliver(sell(operations.polar, 2), "msg-2")
    in_force, operations.rules = operations.rules, NOBODY
    operations.deliver(sell(operations.polar, 3), "msg-3")
    operations.redis.flushall()
    for name, dump in backup.items():
        operations.redis.restore(name, 0, dump or b"")
    operations.rules = in_force
    rebuild(operations)
    assert [line["left_to_backfill"][0][:2] for line in told_by(one)] == ["1 "]
    assert operations.balance() == 20


def test_a_reconciler_that_nobody_asked_for_runs_only_with_credit_from(
    operations: Operations, tmp_path: Path
) -> None:
    sell(operations.polar, 1)
    usual = replace(reconciler(operations, tmp_path, TEN), only_with_credit_from=True)
    assert (told_by(usual), operations.balance()) == ([], 0)
    usual = replace(reconciler(operations, tmp_path), only_with_credit_from=True)
    assert [line["granted"] for line in told_by(usual)] == [1]


def test_where_no_worker_has_ever_run_nothing_is_granted(operations: Operations, tmp_path: Path) -> None:
    one = reconciler(operations, tmp_path)
    operations.redis.delete(keys.BEGAN)
    sell(operations.polar, 1)
    assert [line["log_level"] for line in told_by(one)] == ["warning"]
    assert operations.balance() == 0


class Shaky(Rulebook):
    """A look at the rules that meets one end after the other: what Redis says, or nothing."""

    def __init__(self, path: Path, *ends: BaseException | None) -> None:
        super().__init__(path)
        self._ends = iter(ends)

    def reload_if_changed(self) -> None:
        """Meet the next."""
        if end := next(self._ends):
            raise end


def test_redis_is_said_to_be_away_once_and_to_be_back_once(operations: Operations, tmp_path: Path) -> None:
    usual = reconciler(operations, tmp_path)
    gone = RedisGoneError("Connection refused")
    shaky = Shaky(tmp_path / "rules.yaml", gone, gone, None, None, KilledError())
    task = replace(usual, rulebook=shaky).run_if_due
    one = Background(
        tasks=[task],
        reconnect=operations.redis.connection_pool.disconnect,
        timings=Timings(background_check_seconds=0),
    )
    with capture_logs() as logs, pytest.raises(KilledError):
        one.run_forever()
    told = [line["event"] for line in logs if "Redis" in line["event"]]
    assert told == ["Redis is away: waiting for it", "Redis is back"]


def test_rules_that_have_lost_their_credit_from_grant_nothing_by_themselves(
    operations: Operations, tmp_path: Path
) -> None:
    sell(operations.polar, 1)
    (line,) = told_by(reconciler(operations, tmp_path, TEN))
    assert (line["event"], line["log_level"]) == ("reconciliation skipped", "error")
    assert "credit_from" in str(line["reason"])
    assert operations.balance() == 0
