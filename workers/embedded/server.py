"""The embedded Redis, used when ``REDIS_URL`` is unset: one durable server for each data folder.

Locks on files in the folder show which processes are alive. The kernel releases the locks of a dead process.

- Users hold ``users.lock`` (shared). Each is an ``EmbeddedRedis``, and needs the server.
- A guardian holds ``guardian.lock``. It starts the server, restarts it if it dies, and ends it after the last
  user.
- The server holds ``server.lock``, which it inherits from its guardian. So no second server opens its files.

A user takes its lock before it looks for a guardian. A guardian that ends releases its own lock before the
users' lock. So a user that has its lock never relies on a guardian that is about to end.
"""

import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Self
from urllib.parse import quote

from config.log import get_log
from workers.embedded import executable
from workers.embedded.disk import BACK, full_disk
from workers.embedded.folder import (
    GUARDIAN,
    LOG,
    LOG_PREFIX,
    POLL_SECONDS,
    USERS,
    EmbeddedError,
    ask,
    locked,
    make_private,
    socket_path,
)

log = get_log(__name__)

_START_SECONDS = 30  # without any sign of life; a server that is loading its data gives one
_PROGRESS_SECONDS = 5  # between two reports of how far it is
_MOST_DEATHS = 3  # while it loads; for example, its data may need more memory than there is
_LOG_BYTES = 1_000_000  # enough for months of restarts; a longer log is emptied

_RESPAWN_SECONDS = 5  # the least time between two guardians, if they die one after another
_PASSED_ON = ("PATH", "HOME", "PYTHONPATH", "LANG", "LC_ALL", "VIRTUAL_ENV")


def log_loading(text: str) -> None:
    """Log how far a server is with loading its data."""
    log.info(text)  # not passed as it is: structlog would write where it did before it was configured


class EmbeddedRedis:
    """One user of a data folder's Redis. The server runs while it has a user in any process."""

    def __init__(self, data_dir: Path, *, on_loading: Callable[[str], object] = log_loading) -> None:
        self._on_loading = on_loading
        self._next_report = 0.0
        self._folder = data_dir.resolve()
        self._socket = socket_path(self._folder)
        self._users_lock = ExitStack()
        self._next_spawn = 0.0
        self._log_read_bytes = 0
        self.url = f"unix://{quote(str(self._socket))}"

    def __enter__(self) -> Self:
        """Return when the server has loaded its data; EmbeddedError if it gives no sign of life for 30 s.

        ``on_loading`` is called every few seconds with how far the server is.
        """
        deadline = time.monotonic() + _START_SECONDS
        try:
            make_private(self._folder)
            make_private(self._socket.parent)
            self._link_back()
            with self._take_users_lock(deadline) as lock:
                self._await_server(deadline)
                self._users_lock = lock.pop_all()
                self._log_read_bytes = self._log_bytes()
        except OSError as error:
            raise EmbeddedError(
                self.full_disk()
                or f"cannot run an embedded Redis in {self._folder}: {error}. "
                "Set CREDITS_DATA_DIR to a folder that we can write to, or REDIS_URL to a server."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock; the guardian ends the server if this was the last user."""
        self._users_lock.close()

    def await_end(self) -> None:
        """Wait, after our lock is released, until the guardian has ended (at most 30 s)."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with locked(self._folder / GUARDIAN, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    return
            time.sleep(POLL_SECONDS)

    def full_disk(self) -> str | None:
        """Return that the disk of the data folder is full, and what to do; None if it is not."""
        return full_disk(self._folder)

    def ensure_guardian(self) -> None:
        """Start a guardian if there is none. If there is one, this costs three system calls."""
        if time.monotonic() < self._next_spawn:
            return
        try:
            with locked(self._folder / GUARDIAN, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    _spawn_guardian(self._folder, lock)
                    # A guardian that gives up has seen the server fail to start five times.
                    self._next_spawn = time.monotonic() + _RESPAWN_SECONDS
        except OSError as error:
            raise EmbeddedError(f"the folder of the embedded Redis is gone: {error}") from error

    def read_server_deaths(self) -> list[str]:
        """Return the guardian's log lines about deaths of the server since the last call.

        Each is followed by the server's last line if that is a warning.
        """
        size = self._log_bytes()
        begin = self._log_read_bytes if size >= self._log_read_bytes else 0  # a long log has been emptied
        if size == begin:
            return []
        with (self._folder / LOG).open("rb") as log:
            log.seek(begin)
            # Only whole lines: an unfinished last line is read by the next call.
            text, end, _ = log.read().rpartition(b"\n")
        self._log_read_bytes = begin + len(text) + len(end)
        lines = text.decode(errors="replace").splitlines()
        deaths = f"{LOG_PREFIX}the server ended"
        return [
            line.removeprefix(LOG_PREFIX) + _warning(before)
            for before, line in pairwise(["", *lines])
            if line.startswith(deaths)
        ]

    def _link_back(self) -> None:
        """Make the folder known to whoever has only the socket."""
        link = self._socket.parent / BACK
        if self._socket.parent != self._folder and not link.is_symlink():
            with suppress(FileExistsError):  # another process was faster
                link.symlink_to(self._folder)

    def _log_bytes(self) -> int:
        with suppress(OSError):
            return (self._folder / LOG).stat().st_size
        return 0

    def _take_users_lock(self, deadline: float) -> ExitStack:
        """Return the users' lock. A guardian that ends holds it alone until its server has ended."""
        while True:
            lock = ExitStack()
            if lock.enter_context(locked(self._folder / USERS, fcntl.LOCK_SH)) is not None:
                return lock
            lock.close()
            self._require(time.monotonic() < deadline, "the previous server does not end")
            time.sleep(POLL_SECONDS)

    def _await_server(self, deadline: float) -> None:
        started, deaths = False, 0
        self._log_read_bytes = self._log_bytes()
        while True:
            deaths += len(self.read_server_deaths())
            self._require(deaths < _MOST_DEATHS, "it does not start")
            with locked(self._folder / GUARDIAN, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    self._require(not (started and os.fstat(lock).st_size), "it does not start")
                    _spawn_guardian(self._folder, lock)
                    started = True
            answer = ask(self._socket, b"PING")
            if answer.startswith(b"+PONG"):
                return
            if answer.startswith(b"-LOADING"):
                deadline = time.monotonic() + _START_SECONDS
                self._report_loading()
            self._require(time.monotonic() < deadline, f"no answer in {_START_SECONDS} s")
            time.sleep(POLL_SECONDS)

    def _report_loading(self) -> None:
        """Report how far the server is, unless that was reported just now."""
        if time.monotonic() < self._next_report:
            return
        self._next_report = time.monotonic() + _PROGRESS_SECONDS
        found = dict(
            re.findall(rb"loading_(loaded_perc|eta_seconds):(\d+)", ask(self._socket, b"INFO persistence"))
        )
        if len(found) == 2:  # noqa: PLR2004 - else it has just finished
            percent, seconds = int(found[b"loaded_perc"]), int(found[b"eta_seconds"])
            self._on_loading(f"the embedded Redis is loading its data: {percent} % done, {seconds} s left")

    def _require(self, condition: bool, problem: str) -> None:
        if not condition:
            if full := self.full_disk():
                raise EmbeddedError(f"the embedded Redis failed: {full}")
            log = self._folder / LOG
            last_lines = log.read_text(errors="replace").splitlines()[-12:]
            raise EmbeddedError(
                f"the embedded Redis in {self._folder} failed: {problem}. Fix what its log says, "
                f"or set REDIS_URL to a server. {log} ends:\n" + "\n".join(last_lines)
            )


def _warning(line: str) -> str:
    """Return the text of a line of the server's log if it is a warning, to be appended to another text."""
    found = re.match(r"\d+:\w .*?\.\d{3} # (.*)", line)
    return f": {found[1]}" if found else ""


def _spawn_guardian(folder: Path, lock: int) -> None:
    """Start a guardian, which inherits the lock, in a session of its own that no Ctrl-C reaches."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "workers.embedded.guardian",
        str(folder),
        str(lock),
        executable.find_server(),
    ]
    with (folder / LOG).open("ab") as log:
        if log.tell() > _LOG_BYTES:
            log.truncate(0)
        os.ftruncate(lock, 0)
        subprocess.run(  # noqa: S603 - our own module
            command,
            check=False,  # if it fails, the log says why, and the lock is free again
            pass_fds=[lock],
            start_new_session=True,
            cwd=folder,
            # It lives longer than we do, and must not have our secrets.
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
