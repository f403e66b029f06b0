"""Keeps an embedded server running while any process uses it: ``python -m workers.embedded.guardian``.

Only ``workers.embedded.server`` starts it. The docstring there explains the locks.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from workers.embedded.allocator import allocator_environment
from workers.embedded.disk import SERVER
from workers.embedded.folder import (
    LOG_PREFIX,
    POLL_SECONDS,
    USERS,
    EmbeddedError,
    ask,
    locked,
    socket_path,
)

_STOP_SECONDS = 10  # flushing takes milliseconds; a server that hangs is killed
_WATCH_SECONDS = 0.25  # how late the guardian notices that the server or the last user has ended
_SHORT_LIFE_SECONDS = 10  # a server that dies sooner has failed to start
_MOST_DEATHS_IN_A_ROW = 5  # each soon after its start: another start would fail too
_DEATHS_WITH_JEMALLOC = 2  # a damaged library, or one for memory pages of another size, ends the server
_PRIVATE = ["--port", "0", "--unixsocketperm", "600"]
_DURABLE = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]


class Server:
    """The server of a data folder, whichever guardian started it."""

    def __init__(self, folder: Path, executable: str) -> None:
        self._lock = folder / SERVER
        self._socket = socket_path(folder)
        places = ["--dir", str(folder), "--unixsocket", str(self._socket)]
        self._command = [executable, *places, *_PRIVATE, *_DURABLE, "--save", ""]
        self._child: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._deaths_in_a_row = 0

    def ensure_running(self) -> None:
        """Start the server unless it runs; EmbeddedError if it fails to start again and again."""
        with locked(self._lock, fcntl.LOCK_EX) as lock:
            if lock is None:
                return
            if self._child:
                self._handle_death(self._child)
            self._started = time.monotonic()
            self._child = subprocess.Popen(  # noqa: S603 - the path that find_server returned
                self._command,
                pass_fds=[lock],  # the server holds the lock while it lives, even without us
                # None of our secrets, and no locale that may be missing.
                env={"LC_ALL": "C", **self._allocator()},
            )

    def _allocator(self) -> dict[str, str]:
        """Return the variable for jemalloc, unless the server has died so often that it may be the cause."""
        return allocator_environment() if self._deaths_in_a_row < _DEATHS_WITH_JEMALLOC else {}

    def stop(self) -> None:
        """End the server, which flushes its data first; kill it after 10 s."""
        deadline = time.monotonic() + _STOP_SECONDS
        pid, sent = None, None
        while self._is_running():
            pid = pid or self._pid()
            due = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
            if pid and due != sent:
                sent = due
                with suppress(ProcessLookupError):
                    os.kill(pid, due)
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Kill the server that we started: its folder was removed, so it has nothing to flush to."""
        if self._child:
            self._child.kill()
            self._child.wait()

    def _is_running(self) -> bool:
        with locked(self._lock, fcntl.LOCK_EX) as lock:
            return lock is None

    def _pid(self) -> int | None:
        if self._child and self._child.poll() is None:
            return self._child.pid
        # An earlier guardian started it: only the server itself knows its process id.
        found = re.search(rb"process_id:(\d+)", ask(self._socket, b"INFO server"))
        return int(found[1]) if found else None

    def _handle_death(self, child: subprocess.Popen[bytes]) -> None:
        """Log the death and wait before the next start; EmbeddedError if there should be none."""
        status = child.wait()
        lived_seconds = time.monotonic() - self._started
        self._deaths_in_a_row = self._deaths_in_a_row + 1 if lived_seconds < _SHORT_LIFE_SECONDS else 1
        with suppress(OSError):  # the log is on the same disk as the data, which may be full
            sys.stderr.write(
                f"{LOG_PREFIX}the server ended with status {status} after {lived_seconds:.1f} s\n"
            )
        if self._deaths_in_a_row == _MOST_DEATHS_IN_A_ROW:
            raise EmbeddedError(f"giving up: it failed to start {_MOST_DEATHS_IN_A_ROW} times in a row")
        time.sleep(0.05 * 2**self._deaths_in_a_row)


def _guard(folder: Path, guardian_lock: int, executable: str) -> None:
    """Keep the server running until no user is left, then end it."""
    server = Server(folder, executable)
    try:
        _keep(server, folder, guardian_lock)
    except FileNotFoundError:
        server.kill()


def _keep(server: Server, folder: Path, guardian_lock: int) -> None:
    while True:
        with locked(folder / USERS, fcntl.LOCK_EX) as alone:
            if alone is not None:
                server.stop()
                os.close(guardian_lock)  # before the users' lock: the next user must find no guardian
                return
        server.ensure_running()
        time.sleep(_WATCH_SECONDS)


def _main(folder: str, guardian_lock: str, executable: str) -> None:
    """Become the guardian, in a process that its starter need not wait for."""
    if os.fork():
        os._exit(0)
    # Service managers stop all processes at once, but users that are still draining need Redis.
    signal.signal(signal.SIGTERM, lambda *_: None)  # not SIG_IGN, which the server would inherit
    try:
        _guard(Path(folder), int(guardian_lock), executable)
    except EmbeddedError as error:
        # Tells users that the guardian did not die, and that another one would not help.
        os.write(int(guardian_lock), b"gave up")
        sys.exit(f"guardian: {error}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
