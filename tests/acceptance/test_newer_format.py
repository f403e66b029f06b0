"""Data that a newer version has stored: receivers go on storing, and everything else refuses in one line."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.demo.polar import Polar, create_app
from app.processes.part import REFUSED
from tests.support.builders import order_webhook, some_id
from tests.support.processes import Credits, Running, credits_in, eventually, post, some_polar
from tests.support.receivers import OPS_TOKEN
from tests.support.redis_servers import Server, own_redis
from tests.support.servers import running
from workers.store import keys
from workers.store.format import FORMAT

pytestmark = pytest.mark.heavy  # whole services start

WORDS = f"Redis holds data of format {FORMAT + 1}, and this version knows formats up to {FORMAT}: install"
SHORT_SECONDS = 2  # in which a process that dies of something else is started again
WRITING = [
    "replay --failed --yes",
    "dismiss msg-1",
    "backfill --since 1d --yes",
    "recover --since 1d --yes",
    "rebuild --yes",
    f"grant --customer {some_id(1)} --meter api_usage --units 5 --key beta",
    f"revoke {some_id(1)}",
    f"forget --customer {some_id(1)} --yes",
    "work",
    "work --burst",
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with own_redis(tmp_path) as started:
        yield started


@pytest.fixture
def polar() -> Polar:
    return some_polar()


@pytest.fixture
def credits_(tmp_path: Path, server: Server, polar: Polar) -> Iterator[Credits]:
    with running(create_app(polar)) as polar_url:
        yield credits_in(tmp_path, polar_url, REDIS_URL=server.url, CREDITS_OPS_TOKEN=OPS_TOKEN)


def note(server: Server, number: int) -> None:
    with server.client() as redis:
        redis.set(keys.FORMAT, number)


def deaths(up: Running) -> list[dict[str, object]]:
    lines = up.said.rpartition("\n")[0].splitlines()
    return [one for one in map(json.loads, lines) if one["event"] == "process died"]


def test_up_goes_on_storing_and_works_again_when_the_format_is_known(
    server: Server, credits_: Credits, polar: Polar
) -> None:
    note(server, FORMAT + 1)
    with credits_.running("up") as up, httpx.Client(base_url=up.url()) as client:
        post(client, order_webhook(id=some_id(1)))
        health = client.get("/healthz", headers={"Authorization": f"Bearer {OPS_TOKEN}"}, timeout=30)
        assert WORDS in health.json()["checks"]["ledger"]["detail"]
        dead = eventually(lambda: deaths(up) if len(deaths(up)) == 2 else None)
        assert {(one["name"], one["cause"]) for one in dead or []} == {
            ("worker 1", f"exit status {REFUSED}"),
            ("background", f"exit status {REFUSED}"),
        }
        assert all(one["restart_in_seconds"] == 60 for one in dead or [])
        assert up.said.count(WORDS) == 3  # at start, and of each that has refused
        assert polar.events == []
        time.sleep(SHORT_SECONDS)
        assert len(deaths(up)) == 2
    note(server, FORMAT)
    with credits_.running("up"):
        eventually(lambda: len(polar.events) == 1)


def test_workers_that_run_notice_that_a_newer_version_has_started(
    server: Server, credits_: Credits, polar: Polar
) -> None:
    with credits_.running("work") as work:
        work.part("worker")
        eventually(lambda: credits_.json("status")["checks"]["workers"]["ok"])
        note(server, FORMAT + 1)
        eventually(lambda: len(deaths(work)) == 2)
        assert work.said.count(WORDS) == 2
        assert "Traceback" not in work.said


def test_what_writes_refuses_in_one_line_and_what_reads_says_so(server: Server, credits_: Credits) -> None:
    note(server, FORMAT + 1)
    for command in WRITING:
        done = credits_.run(*command.split())
        assert (done.returncode, done.stdout) == (1, ""), command
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"credits: {WORDS}"), command
    for command in ("deliveries", "grants"):
        assert credits_.run(command).returncode == 0
    status = credits_.json("status")
    assert status["checks"]["ledger"]["ok"] is False
    assert WORDS in status["checks"]["ledger"]["detail"]
    found = json.loads(credits_.run("check", "--offline", "--json").stdout)
    assert [one["level"] for one in found if WORDS in one["detail"]] == ["error"]
    with server.client() as redis:
        assert set(redis.keys("credits:*")) <= {keys.FORMAT.encode(), keys.READY.encode()}
