"""The receiver's connections: what may come over one, how long a request may take, how many there may be."""

import asyncio
import itertools
import resource
from contextlib import suppress
from typing import ClassVar, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.receiver.refusals import Refusals

# From a connection's begin, or its last answer, to the next answer: up to five until there is a request, and
# Polar waits for ten. Less than _GRACE_SECONDS in app.receiver.server, or who dribbles at a stop makes a 500.
_REQUEST_SECONDS = 15.0

# Far more than Polar has. Up to 256 KB of each come at once, before app.receiver.uploads counts any of it:
# strangers take a receiver from 75 MB to 290 at the most. With a thousand connections it was 430.
_MOST_CONNECTIONS = 250
_OTHER_FILES = 100  # Redis (51 connections), the listening socket, logs
_MANY_FILES = 10_240  # where the system sets no limit; macOS takes no more than this

# What the parser gets at once, and what it may keep to itself: headers, trailers, a chunk's extension.
_HELPING_BYTES = 16_384

# Of one body. Each costs as much as a header; from Polar come a few, of kilobytes.
_MOST_CHUNKS = 1000

# Of one request, and as many trailers. In crumbs they take thirty times their bytes; from Polar come ten.
_MOST_HEADERS = 100

_NO_HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class _RefusedError(Exception):
    """What came is HTTP to the parser, but not to us; it ends the parsing."""


class Connection(HttpToolsProtocol):
    """One connection: it ends when its request takes too long, or when it is the oldest of too many.

    The oldest goes, not whoever comes: so who holds all of them does not keep Polar out.
    """

    # Of uvicorn's HttpToolsProtocol this relies on connections, parser, cycle (disconnected, keep_alive,
    # message_event, response_started, response_complete), headers, loop, transport, app_state,
    # on_response_complete, _unset_keepalive_if_required and the parser's callbacks, as they are in 0.38
    # to 0.54; tests/integration/test_connections.py, test_framing.py, test_strangers.py and test_metrics.py
    # fail where they are not.

    refusals: ClassVar = Refusals()
    _turns: ClassVar = itertools.count()  # the loop's time is too coarse to tell who is oldest
    turn = 0
    """When its request began: the lower, the longer ago."""
    _deadline: asyncio.TimerHandle | None = None
    _kept_bytes = 0  # by the parser, that told us nothing of them yet
    _chunks = 0
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._begin()
        if len(self.connections) > most_connections():
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Read what came, as long as it is a request that somebody may mean."""
        self._unset_keepalive_if_required()
        for start in range(0, len(data), _HELPING_BYTES):
            if self.transport.is_closing():
                return
            self._read(data[start : start + _HELPING_BYTES])

    def on_message_begin(self) -> None:
        """Begin a request; nobody whom we know sends one behind the other."""
        if self._is_answering():
            self.give_up("a request came before the last one was answered")
            raise _RefusedError
        self._chunks = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep it, unless there are too many."""
        super().on_header(name, value)
        if len(self.headers) > _MOST_HEADERS:
            raise _RefusedError

    def on_headers_complete(self) -> None:
        """Have the request answered, if others would read its headers as we do."""
        if not self._is_plain():
            raise _RefusedError
        super().on_headers_complete()
        self._kept_bytes, self._in_body = 0, True
        self.headers = []  # for the trailers, if any: to the application they are none of the headers
        if self.parser.should_upgrade():  # it is answered as if it had not asked; then the parser is lost
            self.cycle.keep_alive = False

    def on_chunk_header(self) -> None:
        """Count the pieces of a body."""
        self._kept_bytes = 0
        self._chunks += 1
        if self._chunks > _MOST_CHUNKS:
            self.give_up("a body in too many pieces")
            raise _RefusedError

    def on_body(self, body: bytes) -> None:
        """Pass it on."""
        self._kept_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Pass it on."""
        self._kept_bytes, self._in_body = 0, False
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for who has not read this answer yet."""
        super().on_response_complete()
        self._begin()

    def give_up(self, reason: str) -> None:
        """Close at once, whether or not what was written is ever read."""
        self.refusals.tell(reason)
        self.connections.discard(self)  # uvicorn does so only when the transport is closed
        self.transport.abort()

    def _read(self, helping: bytes) -> None:
        self._kept_bytes += len(helping)
        try:
            self.parser.feed_data(helping)
        except httptools.HttpParserUpgrade:
            return  # with what follows it no request; its answer is the last one
        except httptools.HttpParserError:
            self._refuse()
        if self._kept_bytes > _HELPING_BYTES:
            self._refuse()

    def _refuse(self) -> None:
        """Refuse what is no HTTP; who has an answer already, or a part of it, gets no second one."""
        if self.transport.is_closing():
            return
        self.refusals.tell("what came is no HTTP")
        is_of_a_request = self._in_body or self._is_answering()
        if is_of_a_request:  # the application has no say any more; it counts what it was given
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif tally := self.app_state.get("tally"):
            tally.add("rejected_requests", "malformed_http")
        if not (is_of_a_request and self.cycle.response_started):
            self.transport.write(_NO_HTTP)
        self.transport.close()

    def _is_answering(self) -> bool:
        if self.cycle is None:  # no request has come yet
            return False
        return not self.cycle.response_complete

    def _is_plain(self) -> bool:
        """Say whether any proxy before us would read these headers as we do.

        The parser itself refuses a length beside chunks, two lengths, folded lines, and lines that do not
        end in CR LF.
        """
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        encodings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if version == "1.1":
            is_chunked = [value.rstrip(b" \t") for value in encodings] == [b"chunked"]
            is_known = names.count(b"host") == 1 and (is_chunked or not encodings)
        else:
            is_known = version == "1.0" and not encodings
        # With it, the parser takes the body for something else.
        is_upgrade = self.parser.should_upgrade() and (encodings or b"content-length" in names)
        return is_known and not is_upgrade

    def _begin(self) -> None:
        self._stop()
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
