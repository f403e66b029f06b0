"""Looks at the embedded Redis from outside: is its server alive, is its guardian, and kills either."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import eventually
from workers.embedded import folder as shared
from workers.embedded.server import EmbeddedRedis

SEVERAL_WATCHES_SECONDS = 0.7  # by then the guardian has checked at least twice

# A user of the embedded Redis in another process: prints its server's run id, and ends with its input.
USER = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it by default
from workers.embedded.folder import ask
from workers.embedded.server import EmbeddedRedis
with EmbeddedRedis(Path(sys.argv[1])) as server:
    info = ask(server._socket, b"INFO server").decode()
    print(info.partition("run_id:")[2].split()[0], flush=True)
    sys.stdin.read()
"""


def locked(file: Path) -> bool:
    with shared.locked(file, fcntl.LOCK_SH) as lock:
        return lock is None


def guarded(folder: Path) -> bool:
    return locked(folder / "guardian.lock")


def served(folder: Path) -> bool:
    return locked(folder / "server.lock")


def info_field(server: EmbeddedRedis, field: str) -> str:
    """Return a field of the server's INFO; empty while no server answers."""
    info = shared.ask(server._socket, b"INFO server").decode()
    return info.partition(f"\r\n{field}:")[2].partition("\r\n")[0]


def run_id(server: EmbeddedRedis) -> str:
    return info_field(server, "run_id")


def server_pid(server: EmbeddedRedis) -> int:
    return int(info_field(server, "process_id"))


def guardian_pid(server: EmbeddedRedis) -> int:
    """Return the process id of the guardian, which is the server's parent."""
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
    """Run USER in its own process group; it ends when its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        text=True,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield process


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()
