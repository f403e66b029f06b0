"""What the users of a data folder's server and its guardian share: the files, the locks, and the socket.

The guardian imports no more than this, so that it starts at once.
"""

import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from config.errors import ConfigError

USERS, GUARDIAN = "users.lock", "guardian.lock"
LOG = "redis.log"
LOG_PREFIX = "guardian: "
"""Marks the guardian's lines in the log that it shares with the server."""

POLL_SECONDS = 0.02
_ANSWER_SECONDS = 1  # a server that runs a slow command answers late

# A path that is too long for a Unix socket (104 bytes on macOS, 108 on Linux) is replaced by one in /tmp. It
# is not in TMPDIR, because all users of a folder must find the same socket, whatever their environment.
_SOCKET_BYTES = 100
_SHORT_PARENT = Path("/tmp")  # noqa: S108 - our folder there is private, and checked to be ours


class EmbeddedError(ConfigError):
    """The embedded Redis cannot run; the text says why, and what to do."""


@contextmanager
def locked(path: Path, operation: int) -> Iterator[int | None]:
    """Hold a file's flock; yield its descriptor, or None if another process holds the lock.

    A child process that inherits the descriptor holds the lock too.
    """
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file.fileno()


def make_private(folder: Path) -> None:
    """Make a folder that only we can open; EmbeddedError if it exists and others can."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EmbeddedError(
            f"{folder} is open to others, who could read or change the ledger. Make it private "
            f"(chmod 700 {folder}), or set CREDITS_DATA_DIR to another folder."
        )


def socket_path(folder: Path) -> Path:
    """Return the path of the server's socket: in its folder, or in /tmp if that path is too long."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _SOCKET_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return _SHORT_PARENT / f"credits-{os.geteuid()}-{name}" / path.name


def ask(path: Path, command: bytes) -> bytes:
    """Send an inline command; return the first 4 KiB of the answer, or nothing if there is none."""
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(_ANSWER_SECONDS)
        client.connect(str(path))
        client.sendall(command + b"\r\n")
        return client.recv(4096)
    return b""
