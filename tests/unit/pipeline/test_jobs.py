"""The drain job when Redis goes away, and in a process that is not our worker."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Never

import pytest
from redis.exceptions import ConnectionError as RedisGoneError
from rq.timeouts import JobTimeoutException
from structlog.testing import capture_logs

from tests.support.fake_service import purchases, shop_with
from workers import jobs
from workers.core.delivery import Status
from workers.pipeline.granter import Granter


@pytest.fixture(autouse=True)
def _installed_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_granter", None)
    monkeypatch.setattr(jobs, "_done_ahead", None)


def test_it_drains_what_is_due() -> None:
    shop = shop_with(*purchases(2))
    jobs.install(shop.granter)
    jobs.drain()
    assert {one.status for one in shop.store.deliveries.values()} == {Status.GRANTED}


def test_what_was_done_ahead_of_a_job_is_not_done_again_in_it() -> None:
    shop = shop_with(*purchases(1))
    jobs.install(shop.granter)
    jobs.drain_ahead(nullcontext())
    assert {one.status for one in shop.store.deliveries.values()} == {Status.GRANTED}
    jobs.install(shop_that_must_not_be_asked())
    jobs.drain()


def test_a_second_job_that_nobody_did_ahead_does_its_work_itself() -> None:
    jobs.install(shop_with(*purchases(1)).granter)
    jobs.drain_ahead(nullcontext())
    jobs.drain()
    shop = shop_with(*purchases(1))
    jobs.install(shop.granter)
    jobs.drain()
    assert {one.status for one in shop.store.deliveries.values()} == {Status.GRANTED}


def test_a_job_fails_by_what_ended_the_work_ahead_of_it() -> None:
    """RQ shows then why the job failed, such as its own time limit."""

    @contextmanager
    def limit() -> Iterator[None]:
        yield
        raise JobTimeoutException("Task exceeded maximum timeout value (180 seconds)")

    jobs.install(shop_with(*purchases(1)).granter)
    jobs.drain_ahead(limit())
    with pytest.raises(JobTimeoutException, match="180 seconds"):
        jobs.drain()


def shop_that_must_not_be_asked() -> Granter:
    shop = shop_with()

    def fail(*_args: object) -> Never:
        raise AssertionError("it was done ahead")

    shop.store.lease = fail  # type: ignore[method-assign,assignment] # a fake of this test
    return shop.granter


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
