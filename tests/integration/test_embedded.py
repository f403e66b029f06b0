"""The embedded Redis: real servers, guardians and users, killed at the worst moments."""

import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.embedded_server import (
    SEVERAL_WATCHES_SECONDS,
    guarded,
    guardian_pid,
    kill,
    kill_guardian,
    kill_server,
    locked,
    read_line,
    run_id,
    served,
    server_pid,
    user_process,
)
from tests.support.processes import eventually
from workers.embedded import executable, guardian
from workers.embedded import server as embedded_redis
from workers.embedded.folder import ask
from workers.embedded.server import EmbeddedRedis

pytestmark = pytest.mark.heavy  # starts a server for each test


def test_the_server_is_durable(folder: Path) -> None:
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url, decode_responses=True) as redis:
        assert redis.config_get("append*")["appendonly"] == "yes"
        assert redis.config_get("appendfsync") == {"appendfsync": "always"}
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_other_users_cannot_reach_the_server(folder: Path) -> None:
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url, decode_responses=True) as redis:
        assert redis.config_get("port") == {"port": "0"}
        assert stat.S_IMODE((folder / "redis.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_data_survives_a_killed_server(folder: Path) -> None:
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
        for number in range(300):
            redis.set(f"key:{number}", number)
        kill_server(server)
        eventually(lambda: has_loaded(redis))
        assert redis.dbsize() == 300


def test_each_death_of_the_server_is_reported_once(folder: Path) -> None:
    with EmbeddedRedis(folder) as server:
        assert server.read_server_deaths() == []
        kill_server(server)
        (info_field,) = eventually(server.read_server_deaths)
        assert info_field.startswith("the server ended with status -9 after ")
        eventually(lambda: run_id(server))
        assert server.read_server_deaths() == []
        (folder / "redis.log").write_text("")  # as the next guardian does with a long one
        assert server.read_server_deaths() == []
        (folder / "redis.log").write_text("guardian: the server ended with status 1 after 2.0 s\nguard")
        assert server.read_server_deaths() == ["the server ended with status 1 after 2.0 s"]


def test_a_death_is_reported_with_what_the_server_said_of_it(folder: Path) -> None:
    with EmbeddedRedis(folder) as server:
        with (folder / "redis.log").open("a") as log:
            log.write("7:M 29 Nov 2026 06:55:49.119 # Can't recover from AOF write error. Exiting...\n")
            log.write("guardian: the server ended with status 1 after 0.5 s\n")
        assert server.read_server_deaths() == [
            "the server ended with status 1 after 0.5 s: Can't recover from AOF write error. Exiting..."
        ]


def has_loaded(redis: Redis) -> bool:
    """Return whether a restarted server answers by now: it loads its files first."""
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def test_the_server_stays_for_a_second_user_and_goes_after_the_last(folder: Path) -> None:
    with EmbeddedRedis(folder) as second:
        with EmbeddedRedis(folder) as first:
            before = run_id(first)
        time.sleep(SEVERAL_WATCHES_SECONDS)
        assert run_id(second) == before
    eventually(lambda: not served(folder))
    assert run_id(second) == ""


def test_data_survives_from_one_run_to_the_next(folder: Path) -> None:
    for expected in (1, 2):
        with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
            assert redis.incr("runs") == expected


def test_a_killed_user_does_not_keep_the_server_running(folder: Path) -> None:
    with user_process(folder) as user:
        assert read_line(user)
        user.kill()
        eventually(lambda: not served(folder))


def test_a_child_of_a_user_does_not_keep_the_server_running(folder: Path) -> None:
    sleeper = [sys.executable, "-c", "input()"]
    with ExitStack() as stack:
        with EmbeddedRedis(folder):
            child = subprocess.Popen(
                sleeper, close_fds=False, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            stack.enter_context(child)
        eventually(lambda: not served(folder))
        assert child.poll() is None


def test_a_new_guardian_adopts_the_server_of_a_killed_one(folder: Path) -> None:
    with EmbeddedRedis(folder) as server:
        before = run_id(server)
        kill_guardian(server, folder)
        server.ensure_guardian()
        assert guarded(folder)
        time.sleep(SEVERAL_WATCHES_SECONDS)
        assert run_id(server) == before
    eventually(lambda: not served(folder))


def test_an_adopted_server_that_dies_is_started_again(folder: Path) -> None:
    with EmbeddedRedis(folder) as server:
        kill_guardian(server, folder)
        with EmbeddedRedis(folder):  # a new user brings a guardian, too
            kill_server(server)
            assert guardian_pid(server) != 1


def test_a_guardian_that_dies_while_it_starts_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn = embedded_redis._spawn_guardian

    def spawn_in_vain(folder: Path, lock: int) -> None:
        monkeypatch.setattr(embedded_redis, "_spawn_guardian", spawn)

    monkeypatch.setattr(embedded_redis, "_spawn_guardian", spawn_in_vain)
    with EmbeddedRedis(folder) as server:
        assert run_id(server)


def test_leftovers_of_killed_processes_do_not_prevent_the_next_start(folder: Path) -> None:
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
        redis.set("kept", "yes")
        pid = server_pid(server)
        kill_guardian(server, folder)
        kill(pid, lambda: not served(folder))
    assert (folder / "redis.sock").exists()
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
        assert redis.get("kept") == b"yes"


def test_simultaneous_users_get_the_same_server(folder: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(user_process(folder)) for _ in range(8)]
        assert len({read_line(user) for user in users}) == 1


def test_a_user_that_starts_while_the_guardian_ends_gets_a_server(folder: Path) -> None:
    with EmbeddedRedis(folder):
        pass
    # Start while the guardian holds the users' lock alone (or, at worst, just after).
    eventually(lambda: locked(folder / "users.lock") or not served(folder))
    with EmbeddedRedis(folder) as server:
        time.sleep(SEVERAL_WATCHES_SECONDS)
        assert run_id(server)


def test_ctrl_c_reaches_only_the_user(folder: Path) -> None:
    with user_process(folder) as user:
        before = read_line(user)
        with EmbeddedRedis(folder) as server:
            pids = [server_pid(server), guardian_pid(server)]
            os.killpg(user.pid, signal.SIGINT)
            assert user.wait() != 0
            assert run_id(server) == before
            assert user.pid not in [os.getpgid(pid) for pid in pids]


def test_users_keep_redis_while_they_drain_after_sigterm_to_all(folder: Path) -> None:
    """A service manager's SIGTERM goes to the guardian and the server, too."""
    with EmbeddedRedis(folder) as server:
        guardian, before = guardian_pid(server), run_id(server)
        os.kill(guardian, signal.SIGTERM)
        os.kill(server_pid(server), signal.SIGTERM)
        eventually(lambda: run_id(server) not in {"", before})
        assert guardian_pid(server) == guardian


def test_a_server_that_hangs_is_killed_in_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardian, "_STOP_SECONDS", 0.1)
    folder.mkdir(mode=0o700)
    server = guardian.Server(folder, executable.find_server())
    server.ensure_running()
    eventually(lambda: ask(server._socket, b"PING") == b"+PONG\r\n")
    assert server._child
    server._child.send_signal(signal.SIGSTOP)
    server.stop()
    assert server._child.wait() == -signal.SIGKILL
