"""Problems of a Redis are reported in the log, by check and by healthz, in the same words."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.cli_session import NOWHERE
from tests.support.processes import Credits, Running, credits_in, eventually
from tests.support.receivers import OPS_TOKEN
from tests.support.redis_servers import own_redis

pytestmark = pytest.mark.heavy  # whole services start beside a server that may lose data

FAULTS = [
    "appendonly is off, and it takes no snapshots: a restart loses everything, the ledger included "
    "(set appendonly yes)",
    "maxmemory-policy is allkeys-lru: it may drop the ledger (set noeviction)",
]


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Credits]:
    """Yield the commands with a server that is configured as a cache."""
    folder = tmp_path_factory.mktemp("forgetful")
    with own_redis(folder, "--appendonly", "no", "--maxmemory-policy", "allkeys-lru") as server:
        yield credits_in(folder, NOWHERE, REDIS_URL=server.url, CREDITS_OPS_TOKEN=OPS_TOKEN)


def logged(running: Running) -> list[str]:
    """Return the problems logged so far."""
    lines = running.said.rpartition("\n")[0].splitlines()
    return [one["fault"] for one in map(json.loads, lines) if one["event"] == "Redis needs attention"]


@pytest.mark.parametrize("command", ["up", "serve", "work"])
def test_the_log_reports_it_at_start(forgetful: Credits, command: str) -> None:
    with forgetful.running(command) as started:
        eventually(lambda: len(logged(started)) == 2)
    assert logged(started) == FAULTS


def test_check_reports_it(forgetful: Credits) -> None:
    done = forgetful.run("check", "--offline", "--json")
    found = [one for one in json.loads(done.stdout) if one["what"] == "redis"]
    assert done.returncode == 1
    assert [(one["level"], one["detail"]) for one in found] == [("error", fault) for fault in FAULTS]


def test_healthz_reports_it(forgetful: Credits) -> None:
    with forgetful.running("up") as up:
        answer = httpx.get(
            up.url() + "/healthz", headers={"Authorization": f"Bearer {OPS_TOKEN}"}, timeout=30
        )
    assert answer.status_code == 503
    assert answer.json()["checks"]["redis"] == {"ok": False, "detail": "; ".join(FAULTS)}


def test_a_redis_that_is_down_is_reported_in_the_same_words(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        server.kill()
    credits_ = credits_in(tmp_path, NOWHERE, REDIS_URL=server.url)
    with credits_.running("up") as up:
        (fault,) = eventually(lambda: logged(up))
    (found,) = [
        one
        for one in json.loads(credits_.run("check", "--offline", "--json").stdout)
        if one["what"] == "redis"
    ]
    assert found["detail"] == fault
    assert "it cannot be reached" in fault
