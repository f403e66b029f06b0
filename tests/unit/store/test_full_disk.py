"""A full disk is named instead of what follows from it, and only for a server that is embedded."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisGoneError

from workers.embedded.disk import BACK, SERVER, data_folder, full_disk
from workers.store.full_disk import describe_trouble, find_full_disk, naming_full_disk, require_room
from workers.store.redis_errors import DiskFullError, describe_redis_error


@pytest.fixture
def embedded(tmp_path: Path) -> Redis:
    """Return a client of a server that was embedded in a folder, and does not run."""
    (tmp_path / SERVER).touch()
    return Redis(unix_socket_path=str(tmp_path / "redis.sock"))


def leave(monkeypatch: pytest.MonkeyPatch, megabytes: float, *, for_root: float | None = None) -> None:
    """Make the disk have so much room."""
    free, all_free = (int(one * 256) for one in (megabytes, megabytes if for_root is None else for_root))
    room = SimpleNamespace(f_bavail=free, f_bfree=all_free, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: room)


def test_the_text_names_folder_room_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, 0.5)
    assert full_disk(tmp_path) == (
        f"the disk is full: 512 KB are left for {tmp_path} (make room there, 2 MB or more; nothing that was "
        "confirmed is lost, and Polar repeats refused webhooks for half an hour; if this lasts longer, run "
        "`credits recover --since 24h` afterwards)"
    )


@pytest.mark.parametrize(("megabytes", "is_full"), [(0, True), (1.99, True), (2, False), (9000, False)])
def test_a_disk_is_full_when_a_webhook_may_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: float, is_full: bool
) -> None:
    leave(monkeypatch, megabytes)
    assert (full_disk(tmp_path) is not None) == is_full


@pytest.mark.parametrize(("user", "is_full"), [(0, False), (1000, True)])
def test_what_is_kept_for_root_is_room_for_root_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, is_full: bool
) -> None:
    leave(monkeypatch, 0, for_root=100)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert (full_disk(tmp_path) is not None) == is_full


def test_a_full_disk_is_said_instead_of_the_lost_connection(
    embedded: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 0)
    gone = RedisGoneError("Connection closed by server.")
    assert describe_trouble(embedded, gone).startswith("the disk is full")
    with pytest.raises(DiskFullError) as caught, naming_full_disk(embedded):
        raise gone
    assert describe_redis_error(caught.value) == str(caught.value)
    with pytest.raises(DiskFullError):
        require_room(embedded)


def test_with_room_an_error_stays_what_it_is(embedded: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, 100)
    with pytest.raises(RedisGoneError), naming_full_disk(embedded):
        raise RedisGoneError("Connection closed by server.")
    require_room(embedded)


@pytest.mark.parametrize("client", [Redis(), Redis(unix_socket_path="/nowhere/redis.sock")])
def test_the_disk_of_a_server_of_your_own_is_not_ours_to_judge(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 0)
    assert find_full_disk(client) is None


def test_a_folder_is_found_by_a_socket_that_lies_elsewhere(tmp_path: Path) -> None:
    folder, short = tmp_path / "folder", tmp_path / "short"
    folder.mkdir()
    short.mkdir()
    (folder / SERVER).touch()
    (short / BACK).symlink_to(folder)
    assert Path(data_folder(f"{short}/redis.sock") or "").resolve() == folder
    assert data_folder(f"{folder}/redis.sock") == str(folder)
    assert data_folder(f"{tmp_path}/redis.sock") is None
