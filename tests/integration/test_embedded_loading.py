"""An embedded server that takes long to load its data is waited for, and says how far it is."""

import re
from pathlib import Path

import pytest
from redis import Redis

from tests.support.embedded_server import served
from tests.support.processes import eventually
from workers.embedded import server as embedded_redis
from workers.embedded.server import EmbeddedRedis

KEYS = 600
SLOW = "--key-load-delay 12000 --loading-process-events-interval-bytes 1024"  # 12 ms for each key


@pytest.fixture
def large_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a server whose data takes seven seconds to load."""
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
        for number in range(KEYS):
            redis.set(f"credits:{number}", "." * 500)
        redis.bgrewriteaof()
        eventually(lambda: not redis.info("persistence")["aof_rewrite_in_progress"])
    eventually(lambda: not served(folder))
    slow = tmp_path / "slow-server"
    slow.write_text(f'#!/bin/sh\nexec {embedded_redis._find_server()} "$@" {SLOW}\n')
    slow.chmod(0o755)
    monkeypatch.setattr(embedded_redis, "_find_server", lambda: str(slow))
    return folder


def test_a_server_that_loads_longer_than_it_may_be_silent_is_waited_for(
    large_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_redis, "_START_SECONDS", 5.0)
    monkeypatch.setattr(embedded_redis, "_PROGRESS_SECONDS", 0.5)
    said: list[str] = []
    with EmbeddedRedis(large_folder, on_loading=said.append) as server, Redis.from_url(server.url) as redis:
        assert redis.dbsize() == KEYS
    percents = [int(found[1]) for text in said if (found := re.search(r"(\d+) % done, \d+ s left$", text))]
    assert len(percents) == len(said) > 3
    assert percents == sorted(percents)
    assert percents[0] < 50 < percents[-1]
