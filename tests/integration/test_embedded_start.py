"""What the embedded Redis needs to start, and what a user is told where it cannot."""

import os
import re
from pathlib import Path

import pytest
from redis import Redis

from config.errors import ConfigError
from tests.support.embedded_server import guarded, served
from tests.support.processes import eventually
from workers.embedded import executable
from workers.embedded import folder as shared
from workers.embedded.disk import BACK, data_folder
from workers.embedded.folder import EmbeddedError
from workers.embedded.server import EmbeddedRedis


def test_a_folder_that_is_open_to_others_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    with pytest.raises(EmbeddedError, match=rf"open to others.*chmod 700 {re.escape(str(folder))}"):
        EmbeddedRedis(folder).__enter__()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match=r"File exists.*CREDITS_DATA_DIR"):
        EmbeddedRedis(file).__enter__()


@pytest.mark.parametrize("name", ["with space & 100%20 ü#?", "long" * 30])
def test_any_path_works(tmp_path: Path, name: str) -> None:
    data = tmp_path / name
    with EmbeddedRedis(data) as server, Redis.from_url(server.url) as redis:
        assert redis.ping()
        assert len(os.fsencode(server._socket)) < 104
    eventually(lambda: not guarded(data))
    if server._socket.parent != data:
        assert Path(data_folder(str(server._socket)) or "").resolve() == data
        (server._socket.parent / BACK).unlink()
        server._socket.parent.rmdir()


def test_another_users_folder_for_the_socket_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user who creates the folder in /tmp first could answer in place of the server."""
    monkeypatch.setattr(shared, "_SHORT_PARENT", tmp_path)
    server = EmbeddedRedis(tmp_path / ("long" * 30))
    (tmp_path / "theirs").mkdir(mode=0o700)
    server._socket.parent.symlink_to(tmp_path / "theirs")
    with pytest.raises(EmbeddedError, match="open to others"):
        server.__enter__()


def test_the_log_of_a_server_that_cannot_start_is_shown(folder: Path) -> None:
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
    """Return the only folder on the PATH, on a machine without a bundled server."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(path_folder: Path, name: str, version: str) -> Path:
    program = path_folder / name
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0'\n")
    program.chmod(0o755)
    return program


def test_a_server_on_the_path_is_used_if_none_is_bundled(path_folder: Path) -> None:
    redis = install(path_folder, "redis-server", "7.0.15")
    assert executable.find_server() == str(redis)


def test_a_server_that_is_too_old_is_ignored(path_folder: Path) -> None:
    install(path_folder, "valkey-server", "6.2.14")
    redis = install(path_folder, "redis-server", "8.2.0")
    assert executable.find_server() == str(redis)


def test_without_a_server_the_error_says_what_to_do(path_folder: Path, folder: Path) -> None:
    install(path_folder, "redis-server", "6.2.14")
    with pytest.raises(EmbeddedError, match=r"version 7 or newer.*Install redis-server, or set REDIS_URL"):
        EmbeddedRedis(folder).__enter__()
