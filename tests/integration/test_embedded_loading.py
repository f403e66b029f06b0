"""An embedded server that takes long to load its data is waited for, and says how far it is."""

import re
from pathlib import Path

import pytest
from redis import Redis

from tests.support.embedded_server import served
from tests.support.processes import eventually
from workers.embedded import executable
from workers.embedded import server as embedded_redis
from workers.embedded.folder import EmbeddedError
from workers.embedded.server import EmbeddedRedis

pytestmark = pytest.mark.heavy  # servers load in real time

REAL_SERVER = executable.find_server
KEYS = 600
SLOW = "--key-load-delay 12000 --loading-process-events-interval-bytes 1024"  # 12 ms for each key


def use_server(script: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the guardian run this shell script, which gets the server's path and its arguments."""
    server = folder / "slow-server"
    server.write_text(f'#!/bin/sh\nset -- {executable.find_server()} "$@" {SLOW}\n{script}\n')
    server.chmod(0o755)
    monkeypatch.setattr(executable, "find_server", lambda: str(server))


@pytest.fixture
def large_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a server whose data takes seven seconds to load."""
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
        for number in range(KEYS):
            redis.set(f"credits:{number}", "." * 500)
        redis.bgrewriteaof()
        eventually(lambda: not redis.info("persistence")["aof_rewrite_in_progress"])
    eventually(lambda: not served(folder))
    use_server('exec "$@"', monkeypatch, tmp_path)
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


def test_a_server_that_dies_again_and_again_while_it_loads_is_given_up(
    large_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data may need more memory than there is: waiting for it would never end."""
    monkeypatch.setattr(executable, "find_server", REAL_SERVER)
    use_server('exec timeout -s KILL 2 "$@"', monkeypatch, tmp_path)
    with pytest.raises(EmbeddedError, match="it does not start"):
        EmbeddedRedis(large_folder, on_loading=lambda _: None).__enter__()
    said = (large_folder / "redis.log").read_text()
    assert said.count("the server ended") == 3
