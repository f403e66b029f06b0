"""Sends raw bytes that no HTTP client would send, and reads what comes back."""

import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

# How long to wait for an answer to an incomplete request.
MOMENT_SECONDS = 0.2

_PATIENCE_SECONDS = 60  # only a test that fails waits this long


@contextmanager
def wire_to(url: str) -> Iterator[socket.socket]:
    """Yield a connection to the server at ``url``."""
    parts = urlsplit(url)
    address = (str(parts.hostname), int(parts.port or 0))
    with socket.create_connection(address, timeout=_PATIENCE_SECONDS) as wire:
        yield wire


def send_raw(url: str, *pieces: bytes, hang_up: bool = True, moment_seconds: float = MOMENT_SECONDS) -> bytes:
    """Send exactly these bytes; return everything that comes back until the server closes the connection.

    Several pieces are sent one by one, with a moment in between. With ``hang_up``, the sending side is closed
    after one more moment, because the server does not answer a client that has gone.
    """
    with wire_to(url) as wire:
        with suppress(OSError):  # the server closed the connection early
            _send_pieces(wire, pieces, moment_seconds, hang_up=hang_up)
        return read_until_closed(wire)


def _send_pieces(
    wire: socket.socket, pieces: Sequence[bytes], moment_seconds: float, *, hang_up: bool
) -> None:
    for piece in pieces[:-1]:
        wire.sendall(piece)
        select.select([wire], [], [], moment_seconds)
    wire.sendall(pieces[-1])
    if hang_up:
        select.select([wire], [], [], moment_seconds)
        wire.shutdown(socket.SHUT_WR)


def read_until_closed(wire: socket.socket) -> bytes:
    """Return everything that comes until the server closes the connection."""
    answer = b""
    with suppress(ConnectionResetError):
        while part := wire.recv(65_536):
            answer += part
    return answer


def is_closed(wire: socket.socket) -> bool:
    """Return whether the server has closed the connection; what it sent before is lost."""
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
    """Return whether connections to ``url`` are refused."""
    try:
        with wire_to(url):
            return False
    except ConnectionRefusedError:
        return True


def post_with(*headers: bytes, body: bytes = b"", path: bytes = b"/webhooks/polar") -> bytes:
    """Return a request with these header lines, valid or not."""
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: x", *headers, b"", body])


def statuses(answer: bytes) -> list[int]:
    """Return the status of each response in ``answer``, in order."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
