"""Keeps an embedded server alive while anybody uses it: ``python -m workers.embedded.guardian``.

Started by ``workers.embedded.server`` alone, which also tells how the locks work.
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

from workers.embedded.server import POLL_SECONDS, SAYS, SERVER, USERS, EmbeddedError, ask, locked, socket_path

_STOP_SECONDS = 10  # a server that flushes needs milliseconds; one that hangs is killed
_WATCH_SECONDS = 0.25  # how late the guardian sees that the server or the last user has gone
_SHORT_LIFE_SECONDS = 10  # who dies sooner has died of its start
_SHORT_LIVES = 5  # in a row, and the next would end the same way
_PRIVATE = ["--port", "0", "--unixsocketperm", "600"]
_DURABLE = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]


class Server:
    """The server of a data folder, as the guardian sees it, whoever started it."""

    def __init__(self, folder: Path, executable: str) -> None:
        self._lock = folder / SERVER
        self._socket = socket_path(folder)
        places = ["--dir", str(folder), "--unixsocket", str(self._socket)]
        self._command = [executable, *places, *_PRIVATE, *_DURABLE, "--save", ""]
        self._child: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._short_lives = 0

    def keep(self) -> None:
        """Start the server if none lives; EmbeddedError if it dies young again and again."""
        with locked(self._lock, fcntl.LOCK_EX) as lock:
            if lock is None:
                return
            if self._child:
                self._mourn(self._child)
            self._started = time.monotonic()
            self._child = subprocess.Popen(  # noqa: S603 - what _find_server found
                self._command,
                pass_fds=[lock],  # the server has the lock as long as it lives, even without us
                env={"LC_ALL": "C"},  # none of our secrets, and no locale that may not exist
            )

    def stop(self) -> None:
        """End the server, which first flushes what it has; killed after 10 s."""
        deadline = time.monotonic() + _STOP_SECONDS
        pid, sent = None, None
        while self._lives():
            pid = pid or self._pid()
            due = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
            if pid and due != sent:
                sent = due
                with suppress(ProcessLookupError):
                    os.kill(pid, due)
            time.sleep(POLL_SECONDS)

    def abandon(self) -> None:
        """End our server at once: its folder was removed, so there is nothing that it could keep."""
        if self._child:
            self._child.kill()
            self._child.wait()

    def _lives(self) -> bool:
        with locked(self._lock, fcntl.LOCK_EX) as lock:
            return lock is None

    def _pid(self) -> int | None:
        if self._child and self._child.poll() is None:
            return self._child.pid
        # A guardian before us started it: only the server itself is sure to know.
        told = re.search(rb"process_id:(\d+)", ask(self._socket, b"INFO server"))
        return int(told[1]) if told else None

    def _mourn(self, child: subprocess.Popen[bytes]) -> None:
        """Wait a little before the next start; EmbeddedError if there should be none."""
        status = child.wait()
        lived_seconds = time.monotonic() - self._started
        self._short_lives = self._short_lives + 1 if lived_seconds < _SHORT_LIFE_SECONDS else 1
        sys.stderr.write(f"{SAYS}the server ended with status {status} after {lived_seconds:.1f} s\n")
        if self._short_lives == _SHORT_LIVES:
            raise EmbeddedError(f"giving up, for it died of its start {_SHORT_LIVES} times in a row")
        time.sleep(0.05 * 2**self._short_lives)


def _guard(folder: Path, guardian_lock: int, executable: str) -> None:
    """Keep the server alive until no user is left, then end it."""
    server = Server(folder, executable)
    try:
        _keep(server, folder, guardian_lock)
    except FileNotFoundError:
        server.abandon()


def _keep(server: Server, folder: Path, guardian_lock: int) -> None:
    while True:
        with locked(folder / USERS, fcntl.LOCK_EX) as alone:
            if alone is not None:
                server.stop()
                os.close(guardian_lock)  # first: who then gets a users' lock finds no guardian
                return
        server.keep()
        time.sleep(_WATCH_SECONDS)


def _main(folder: str, guardian_lock: str, executable: str) -> None:
    """Become the guardian: nobody's child, so that nobody must wait for it."""
    if os.fork():
        os._exit(0)
    # Service managers tell all processes at once to stop, but users that drain still need Redis.
    signal.signal(signal.SIGTERM, lambda *_: None)  # not SIG_IGN, which the server would inherit
    try:
        _guard(Path(folder), int(guardian_lock), executable)
    except EmbeddedError as error:
        os.write(int(guardian_lock), b"gave up")  # rather than died: to start another is no use
        sys.exit(f"guardian: {error}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
