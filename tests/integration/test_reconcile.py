"""The reconciler on a real Redis: one round at a time over all hosts, and a word where it matters."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis import Redis
from redis.exceptions import ConnectionError as RedisGoneError
from structlog.testing import capture_logs

from config.rulebook import Rulebook
from tests.support.full_disks import no_file_can_grow
from tests.support.killed import KilledError
from tests.support.polar_orders import Operations, operations_at, sell
from tests.support.processes import TEN
from tests.support.reconciling import SIX_HOURS, reconciler, told_by
from workers.monitoring.health import examine
from workers.operations import spool
from workers.operations.background import Background
from workers.store import keys
from workers.timings import Timings


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    """Yield what mends where nothing has come and nothing is lost yet."""
    with operations_at(redis) as opened:
        yield opened


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
