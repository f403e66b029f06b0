"""The receiver's connections: how long a request may take, and how many connections there may be."""

import asyncio
import itertools
import resource
from contextlib import suppress
from typing import ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.refusals import Refusals

# From a connection's begin, or its last answer, to the next answer. Polar itself waits for ten.
_REQUEST_SECONDS = 20.0

_MOST_CONNECTIONS = 1000  # far more than Polar has
_OTHER_FILES = 100  # Redis (51 connections), the listening socket, logs
_MANY_FILES = 10_240  # where the system sets no limit; macOS takes no more than this

# A body in crumbs costs the parser 15 microseconds each. So it gets what came in helpings, that nobody waits
# long for who sends them, and gives up on who sends many: from Polar come a few, of kilobytes.
_HELPING_BYTES = 4096
_MOST_LINES = 2000  # of one body's chunks, two for each

_NO_HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection(H11Protocol):
    """One connection: it ends when its request takes too long, or when it is the oldest of too many.

    The oldest goes, not whoever comes: so who holds all of them does not keep Polar out.
    """

    # Of uvicorn's H11Protocol this relies on connections, conn, cycle (disconnected, message_event,
    # response_complete), headers, loop, transport, on_response_complete and send_400_response, as they are in
    # 0.38 to 0.54; tests/integration/test_connections.py and test_strangers.py fail where they are not.

    refusals: ClassVar = Refusals()
    _turns: ClassVar = itertools.count()  # the loop's time is too coarse to tell who is oldest
    turn = 0
    """When its request began: the lower, the longer ago."""
    _deadline: asyncio.TimerHandle | None = None
    _lines = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._begin()
        if len(self.connections) > most_connections():
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Read what came, as long as it is a request that somebody may mean."""
        for start in range(0, len(data), _HELPING_BYTES):
            if self.transport.is_closing():
                return
            if self._is_answering():
                # The parser would keep all of it for later, and read it in one go, uncounted. Nobody whom we
                # know sends one request behind the other.
                self.give_up("a request came before the last one was answered")
                return
            helping = data[start : start + _HELPING_BYTES]
            super().data_received(helping)
            if self._is_in_chunks():
                self._lines += helping.count(b"\r\n")
            if self._lines > _MOST_LINES:
                self.give_up("a body in too many pieces")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for who has not read this answer yet."""
        super().on_response_complete()
        self._begin()

    def send_400_response(self, _msg: str) -> None:
        """Refuse what is no HTTP; uvicorn's own way stumbles after another answer, and over a HEAD."""
        self.refusals.tell("what came is no HTTP")
        if self.cycle is not None:  # the application has no say any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(_NO_HTTP)
        self.transport.close()

    def give_up(self, reason: str) -> None:
        """Close at once, whether or not what was written is ever read."""
        self.refusals.tell(reason)
        self.connections.discard(self)  # uvicorn does so only when the transport is closed
        self.transport.abort()

    def _is_answering(self) -> bool:
        if self.cycle is None:
            return False
        return self.conn.their_state is h11.DONE and not self.cycle.response_complete

    def _is_in_chunks(self) -> bool:
        if self.cycle is None:  # no request has come yet
            return False
        return any(name == b"transfer-encoding" for name, _ in self.headers)

    def _begin(self) -> None:
        self._stop()
        self._lines = 0
        self.turn = next(self._turns)
        self._deadline = self.loop.call_later(_REQUEST_SECONDS, self.give_up, "a request took too long")

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _make_room(self) -> None:
        ours = cast("set[Connection]", self.connections)
        oldest = min(ours, key=lambda one: one.turn)
        oldest.give_up("too many connections: the oldest was closed")


def most_connections() -> int:
    """Return how many connections leave files enough for all else."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(1, min(_MOST_CONNECTIONS, files - _OTHER_FILES))


def raise_file_limit() -> None:
    """Let this process open as many files as the system lets it."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if most == resource.RLIM_INFINITY else most
    if files != resource.RLIM_INFINITY and files < wanted:
        with suppress(OSError, ValueError):  # then we do with what there is
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
