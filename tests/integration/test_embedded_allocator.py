"""The embedded server uses jemalloc where it is installed."""

import _decimal
from pathlib import Path

import pytest

from tests.support.embedded_server import server_pid
from tests.support.processes import eventually
from workers.embedded import executable, guardian
from workers.embedded.allocator import allocator_environment
from workers.embedded.folder import ask
from workers.embedded.server import EmbeddedRedis


def test_jemalloc_is_found_in_the_first_folder_that_has_it(tmp_path: Path) -> None:
    library = tmp_path / "lib" / "libjemalloc.so.2"
    library.parent.mkdir()
    library.touch()
    assert allocator_environment([tmp_path, library.parent]) == {"LD_PRELOAD": str(library)}


def test_without_jemalloc_nothing_is_loaded(tmp_path: Path) -> None:
    assert allocator_environment([tmp_path]) == {}


def test_the_server_uses_what_is_found(folder: Path) -> None:
    with EmbeddedRedis(folder) as server:
        libraries = Path(f"/proc/{server_pid(server)}/maps").read_text()
    assert ("libjemalloc" in libraries) == bool(allocator_environment())


def test_a_damaged_library_keeps_no_server_from_starting(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path(_decimal.__file__).read_bytes()
    damaged = tmp_path / "libjemalloc.so.2"
    damaged.write_bytes(whole[:4096])  # the loader itself crashes on it
    monkeypatch.setattr(guardian, "allocator_environment", lambda: {"LD_PRELOAD": str(damaged)})
    folder.mkdir(mode=0o700)
    server = guardian.Server(folder, executable.find_server())

    def answers() -> bool:
        server.ensure_running()
        return ask(server._socket, b"PING") == b"+PONG\r\n"

    try:
        eventually(answers)
    finally:
        server.stop()
    assert server._child
    server._child.wait()
