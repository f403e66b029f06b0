"""Bytes on the wire: what no client of HTTP would send, and what comes back."""

import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

# For an answer to what is no whole request, if there is one.
MOMENT_SECONDS = 0.2

_PATIENCE_SECONDS = 60  # only a test that fails waits this long


@contextmanager
def wire_to(url: str) -> Iterator[socket.socket]:
    """Yield a connection to whoever serves ``url``."""
    parts = urlsplit(url)
    address = (str(parts.hostname), int(parts.port or 0))
    with socket.create_connection(address, timeout=_PATIENCE_SECONDS) as wire:
        yield wire


def raw(url: str, *pieces: bytes, hang_up: bool = True, moment_seconds: float = MOMENT_SECONDS) -> bytes:
    """Send these very bytes and no more; return all that comes back until the server closes.

    Several pieces go one by one, a moment between. Who hangs up gives the server a moment first: it
    keeps its answer from who has gone.
    """
    with wire_to(url) as wire:
        with suppress(OSError):  # it had heard enough
            _say(wire, pieces, moment_seconds, hang_up=hang_up)
        return heard(wire)


def _say(wire: socket.socket, pieces: Sequence[bytes], moment_seconds: float, *, hang_up: bool) -> None:
    for piece in pieces[:-1]:
        wire.sendall(piece)
        select.select([wire], [], [], moment_seconds)
    wire.sendall(pieces[-1])
    if hang_up:
        select.select([wire], [], [], moment_seconds)
        wire.shutdown(socket.SHUT_WR)


def heard(wire: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    answer = b""
    with suppress(ConnectionResetError):
        while part := wire.recv(65_536):
            answer += part
    return answer


def is_closed(wire: socket.socket) -> bool:
    """Say whether the server has closed the connection; what it has said by then is lost."""
    wire.setblocking(False)
    try:
        return wire.recv(65_536) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        wire.settimeout(_PATIENCE_SECONDS)


def is_refused(url: str) -> bool:
    """Say whether nobody listens there any more."""
    try:
        with wire_to(url):
            return False
    except ConnectionRefusedError:
        return True


def post_with(*headers: bytes, body: bytes = b"", path: bytes = b"/webhooks/polar") -> bytes:
    """Return a request with these header lines, whether they make sense or not."""
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: x", *headers, b"", body])


def statuses(answer: bytes) -> list[int]:
    """Return the status of each answer, in their order."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
