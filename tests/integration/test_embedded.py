"""The embedded Redis: real servers, guardians and users, killed at the worst moments."""

import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from config.errors import ConfigError
from workers import embedded, guardian
from workers.embedded import EmbeddedError, EmbeddedRedis

PATIENCE_SECONDS = 30  # only a test that fails waits this long
SEVERAL_WATCHES_SECONDS = 0.7  # the guardian has looked around at least twice

# A user in a process of its own: says which server it has got, and stays until its input ends.
USER = """
import sys
from pathlib import Path
from workers.embedded import EmbeddedRedis, ask
with EmbeddedRedis(Path(sys.argv[1])) as server:
    info = ask(server._socket, b"INFO server").decode()
    print(info.partition("run_id:")[2].split()[0], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a data folder that is not there yet; nothing may live in it after the test."""
    data = tmp_path / "data"
    yield data
    if data.is_dir():
        eventually(lambda: not guarded(data) and not served(data))


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def locked(file: Path) -> bool:
    with embedded.locked(file, fcntl.LOCK_SH) as lock:
        return lock is None


def guarded(folder: Path) -> bool:
    return locked(folder / "guardian.lock")


def served(folder: Path) -> bool:
    return locked(folder / "server.lock")


def told(server: EmbeddedRedis, field: str) -> str:
    """Return a field of the server's INFO, or nothing while no server answers."""
    info = embedded.ask(server._socket, b"INFO server").decode()
    return info.partition(f"\r\n{field}:")[2].partition("\r\n")[0]


def run_id(server: EmbeddedRedis) -> str:
    return told(server, "run_id")


def server_pid(server: EmbeddedRedis) -> int:
    return int(told(server, "process_id"))


def guardian_pid(server: EmbeddedRedis) -> int:
    """Return the parent of the server, which is the guardian that started it."""
    pid = server_pid(server)
    status = Path(f"/proc/{pid}/stat")
    if status.exists():
        return int(status.read_text().rpartition(")")[2].split()[1])
    ps = ["/bin/ps", "-o", "ppid=", "-p", str(pid)]  # macOS has no /proc, small Linuxes have no ps
    return int(subprocess.run(ps, capture_output=True, check=True).stdout)


def kill(pid: int, goes: Callable[[], bool]) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(goes)


def kill_guardian(server: EmbeddedRedis, folder: Path) -> None:
    kill(guardian_pid(server), lambda: not guarded(folder))


def kill_server(server: EmbeddedRedis) -> None:
    before = run_id(server)
    kill(server_pid(server), lambda: run_id(server) not in {"", before})


@contextmanager
def user_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a user in a process group of its own; it leaves when its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        text=True,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield process


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_a_server_answers_that_keeps_all_it_is_given(folder: Path) -> None:
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url, decode_responses=True) as redis:
        assert redis.config_get("append*")["appendonly"] == "yes"
        assert redis.config_get("appendfsync") == {"appendfsync": "always"}
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_nobody_else_can_reach_it(folder: Path) -> None:
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url, decode_responses=True) as redis:
        assert redis.config_get("port") == {"port": "0"}
        assert stat.S_IMODE((folder / "redis.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_was_written_survives_a_server_that_is_killed(folder: Path) -> None:
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
        for number in range(300):
            redis.set(f"key:{number}", number)
        kill_server(server)
        assert redis.dbsize() == 300


def test_the_server_stays_for_a_second_user_and_goes_after_the_last(folder: Path) -> None:
    with EmbeddedRedis(folder) as second:
        with EmbeddedRedis(folder) as first:
            before = run_id(first)
        time.sleep(SEVERAL_WATCHES_SECONDS)
        assert run_id(second) == before
    eventually(lambda: not served(folder))
    assert run_id(second) == ""


def test_what_one_run_wrote_the_next_one_reads(folder: Path) -> None:
    for expected in (1, 2):
        with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
            assert redis.incr("runs") == expected


def test_a_killed_user_does_not_keep_the_server(folder: Path) -> None:
    with user_process(folder) as user:
        assert said(user)
        user.kill()
        eventually(lambda: not served(folder))


def test_a_child_of_a_user_does_not_keep_the_server(folder: Path) -> None:
    sleeper = [sys.executable, "-c", "input()"]
    with ExitStack() as stack:
        with EmbeddedRedis(folder):
            child = subprocess.Popen(
                sleeper, close_fds=False, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            stack.enter_context(child)
        eventually(lambda: not served(folder))
        assert child.poll() is None


def test_a_killed_guardian_is_followed_by_one_that_adopts_the_server(folder: Path) -> None:
    with EmbeddedRedis(folder) as server:
        before = run_id(server)
        kill_guardian(server, folder)
        server.ensure()
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
    spawn = embedded._spawn_guardian

    def spawn_in_vain(folder: Path, lock: int) -> None:
        monkeypatch.setattr(embedded, "_spawn_guardian", spawn)

    monkeypatch.setattr(embedded, "_spawn_guardian", spawn_in_vain)
    with EmbeddedRedis(folder) as server:
        assert run_id(server)


def test_what_killed_processes_leave_behind_does_not_stop_the_next_start(folder: Path) -> None:
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
        redis.set("kept", "yes")
        pid = server_pid(server)
        kill_guardian(server, folder)
        kill(pid, lambda: not served(folder))
    assert (folder / "redis.sock").exists()
    with EmbeddedRedis(folder) as server, Redis.from_url(server.url) as redis:
        assert redis.get("kept") == b"yes"


def test_many_users_who_come_at_once_get_the_same_server(folder: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(user_process(folder)) for _ in range(8)]
        assert len({said(user) for user in users}) == 1


def test_a_user_who_comes_while_the_guardian_leaves_gets_a_server(folder: Path) -> None:
    with EmbeddedRedis(folder):
        pass
    # Catch the guardian while it has the users' lock for itself (or, at the worst, just after).
    eventually(lambda: locked(folder / "users.lock") or not served(folder))
    with EmbeddedRedis(folder) as server:
        time.sleep(SEVERAL_WATCHES_SECONDS)
        assert run_id(server)


def test_ctrl_c_reaches_the_user_alone(folder: Path) -> None:
    with user_process(folder) as user:
        before = said(user)
        with EmbeddedRedis(folder) as server:
            pids = [server_pid(server), guardian_pid(server)]
            os.killpg(user.pid, signal.SIGINT)
            assert user.wait() != 0
            assert run_id(server) == before
            assert user.pid not in [os.getpgid(pid) for pid in pids]


def test_users_that_drain_keep_redis_when_all_are_told_to_stop(folder: Path) -> None:
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
    server = guardian.Server(folder, embedded._find_server())
    server.keep()
    eventually(lambda: embedded.ask(server._socket, b"PING") == b"+PONG\r\n")
    assert server._child
    server._child.send_signal(signal.SIGSTOP)
    server.stop()
    assert server._child.wait() == -signal.SIGKILL


def test_a_folder_that_is_open_to_others_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    with pytest.raises(EmbeddedError, match=rf"open to others.*chmod 700 {re.escape(str(folder))}"):
        EmbeddedRedis(folder).__enter__()


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match=r"File exists.*CREDITS_DATA_DIR"):
        EmbeddedRedis(file).__enter__()


@pytest.mark.parametrize("name", ["with space & 100%20 ü#?", "long" * 30])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    data = tmp_path / name
    with EmbeddedRedis(data) as server, Redis.from_url(server.url) as redis:
        assert redis.ping()
        assert len(os.fsencode(server._socket)) < 104
    eventually(lambda: not guarded(data))
    if server._socket.parent != data:
        server._socket.parent.rmdir()


def test_another_users_folder_for_the_socket_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes the folder in /tmp before us could answer in the server's place."""
    monkeypatch.setattr(embedded, "_SHORT_PARENT", tmp_path)
    server = EmbeddedRedis(tmp_path / ("long" * 30))
    (tmp_path / "theirs").mkdir(mode=0o700)
    server._socket.parent.symlink_to(tmp_path / "theirs")
    with pytest.raises(EmbeddedError, match="open to others"):
        server.__enter__()


def test_a_server_that_cannot_start_is_quoted(folder: Path) -> None:
    with EmbeddedRedis(folder):
        pass
    eventually(lambda: not served(folder))
    for file in folder.glob("appendonlydir/*.incr.aof"):
        file.write_bytes(b"garbage\r\n")
    with pytest.raises(EmbeddedError, match=r"does not start(.|\n)*Bad file format"):
        EmbeddedRedis(folder).__enter__()


def test_the_log_does_not_grow_for_ever(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    log = folder / "redis.log"
    log.write_bytes(b"x" * 1_000_001)
    with EmbeddedRedis(folder):
        assert log.stat().st_size < 100_000


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is all of the PATH, on a machine without a bundled server."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(path_folder: Path, name: str, version: str) -> Path:
    program = path_folder / name
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0'\n")
    program.chmod(0o755)
    return program


def test_a_server_on_the_path_serves_where_none_is_bundled(path_folder: Path) -> None:
    redis = install(path_folder, "redis-server", "7.0.15")
    assert embedded._find_server() == str(redis)


def test_a_server_that_is_too_old_is_passed_over(path_folder: Path) -> None:
    install(path_folder, "valkey-server", "6.2.14")
    redis = install(path_folder, "redis-server", "8.2.0")
    assert embedded._find_server() == str(redis)


def test_without_any_server_the_user_reads_what_to_do(path_folder: Path, folder: Path) -> None:
    install(path_folder, "redis-server", "6.2.14")
    with pytest.raises(EmbeddedError, match=r"version 7 or newer.*Install redis-server, or set REDIS_URL"):
        EmbeddedRedis(folder).__enter__()
