"""The drain job when Redis goes away, and in a process that is not our worker."""

from typing import Never

import pytest
from redis.exceptions import ConnectionError as RedisGoneError
from structlog.testing import capture_logs

from tests.support.fake_service import purchases, shop_with
from workers import jobs
from workers.core.delivery import Status


@pytest.fixture(autouse=True)
def _installed_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_granter", None)


def test_it_drains_what_is_due() -> None:
    shop = shop_with(*purchases(2))
    jobs.install(shop.granter)
    jobs.drain()
    assert {one.status for one in shop.store.deliveries.values()} == {Status.GRANTED}


def test_a_drain_that_redis_interrupts_logs_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = shop_with(*purchases(1))

    def fail(*_args: object) -> Never:
        raise RedisGoneError("Connection reset by peer")

    monkeypatch.setattr(shop.store, "settle", fail)
    jobs.install(shop.granter)
    with capture_logs() as logs:
        jobs.drain()
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("drain interrupted", "warning")
    assert line["reason"].endswith(": Connection reset by peer")


def test_a_plain_rq_worker_is_told_that_it_cannot_run_it() -> None:
    with pytest.raises(RuntimeError, match="this job is for `credits work`"):
        jobs.drain()
