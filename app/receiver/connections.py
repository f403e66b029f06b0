"""Bounds the receiver's connections: what each may send, how long it may take, and how many there may be."""

import asyncio
import resource
from contextlib import suppress
from functools import partial
from typing import ClassVar, cast
from weakref import WeakKeyDictionary

import httptools
import structlog
from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.receiver.answers import Answer, answer_of, to_http
from app.receiver.deadlines import Deadlines
from app.receiver.framing import is_unambiguous
from app.receiver.places import Places, Stage
from app.receiver.refusal_log import RefusalLog
from app.receiver.webhooks import WebhookEndpoint, is_for_webhooks
from workers.store import counts

log = structlog.get_logger(__name__)

# From the start of a connection, or its last answer, to the next answer. Polar waits ten seconds for one; a
# connection that is idle after an answer is closed after five. This must be less than _GRACE_SECONDS in
# app.receiver.server, or uvicorn answers 500 to a slow sender when the receiver stops.
_REQUEST_SECONDS = 15.0

# How many are read at once. Each may send 256 KB before app.receiver.uploads counts a byte, so strangers can
# raise a receiver's memory from 75 MB to at most 290; with a thousand connections it was 430.
_MOST_CONNECTIONS = 250
# How many more wait for a place. What they send stays in the system's buffers, so each costs us some KB.
_MOST_WAITING = 2000
_OTHER_FILES = 100  # Redis (51 connections), the listening socket, logs
_MANY_FILES = 10_240  # where the system sets no limit; macOS accepts no more

# How much the parser gets at a time, and the most that it may buffer: headers, trailers, a chunk's extension.
_SLICE_BYTES = 16_384

# The most chunks in one body. Each costs as much to parse as a header; Polar sends a few, of kilobytes each.
_MOST_CHUNKS = 1000

# The most headers in a request, and in its trailers. Polar sends ten; tiny ones take 30 times their bytes.
_MOST_HEADERS = 100

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class _RefusedError(Exception):
    """The request is valid for the parser, but not for us; raising this ends the parsing."""


class Connection(HttpToolsProtocol):
    """A connection that is closed when its request takes too long, and read only while it has a place.

    A new connection is read at once if any other can wait, so that a stranger who opens all of them cannot
    lock Polar out.

    A webhook that was read whole goes straight to the endpoint, and its answer is written at once. Any other
    request is passed to the ASGI application, with a task of its own, as uvicorn does it.
    """

    # This relies on internals of uvicorn's HttpToolsProtocol, which are the same in 0.53 and 0.54. They are:
    # its connections, parser, headers, loop, transport and app_state; its cycle, with disconnected,
    # keep_alive, message_event, response_started, response_complete, scope, body and more_body;
    # on_response_complete, _start_asgi_task, timeout_keep_alive_handler, and the parser's callbacks. If
    # uvicorn changes one, a test fails: tests/integration/test_connections.py, test_framing.py,
    # test_strangers.py or test_metrics.py.

    held_seconds: ClassVar[float] = 0.0
    """How much longer a request may take because its answer is held on purpose."""
    most_held: ClassVar[int] = 0
    """How many answers may be held at once; each keeps a place."""
    refusals: ClassVar = RefusalLog()
    crowds: ClassVar = RefusalLog("connections wait")
    _places_of: ClassVar[WeakKeyDictionary[ServerState, Places]] = WeakKeyDictionary()
    _buffered_bytes = 0  # given to the parser, which has not reported them yet
    _chunks = 0
    _in_body = False
    _has_begun = False  # something of the present request was read
    _unstarted: tuple[RequestResponseCycle, ASGI3Application] | None = None  # a request read just now
    _webhooks: WebhookEndpoint | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start to wait for a request."""
        super().connection_made(transport)
        self._webhooks = self.app_state.get("webhooks")
        if self.server_state not in self._places_of:
            self._places_of[self.server_state] = Places(self.loop, on_wait=_note_crowd)
        self._places = self._places_of[self.server_state]
        self._deadlines = Deadlines(
            self.loop,
            request_seconds=_REQUEST_SECONDS + self.held_seconds,
            idle_seconds=self.timeout_keep_alive,
            on_late=partial(self.abort, "a request took too long"),
            on_idle=self.timeout_keep_alive_handler,
        )
        self._places.enter(self, most=most_connections() + self.most_held, most_waiting=most_waiting())

    def data_received(self, data: bytes) -> None:
        """Parse the data in slices, so that nothing more is parsed once the connection is refused."""
        self._deadlines.note_data()
        self._has_begun = True
        for start in range(0, len(data), _SLICE_BYTES):
            if self.transport.is_closing():
                return
            self._parse(data[start : start + _SLICE_BYTES])
            self._start_request()

    def on_message_begin(self) -> None:
        """Begin a request; refuse pipelining, which no legitimate client uses."""
        if self._is_answering():
            self.abort("a request arrived before the previous one was answered")
            raise _RefusedError
        self._chunks = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the header, unless there are too many; the rest is as in uvicorn, without a second call."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > _MOST_HEADERS:
            raise _RefusedError

    def on_headers_complete(self) -> None:
        """Pass the request to the application if its headers are unambiguous."""
        version, may_upgrade = self.parser.get_http_version(), self.parser.should_upgrade()
        if not is_unambiguous(version, self.headers, may_upgrade=may_upgrade):
            raise _RefusedError
        super().on_headers_complete()
        self._buffered_bytes, self._in_body = 0, True
        self.headers = []  # collects the trailers, which the application must not see among the headers
        if may_upgrade:  # the upgrade is ignored, and the parser cannot go on after it
            self.cycle.keep_alive = False
        if self._places.are_scarce:  # after the answer, another connection gets the place
            self.cycle.keep_alive = False

    def on_chunk_header(self) -> None:
        """Count the chunks of a body, and refuse too many."""
        self._buffered_bytes = 0
        self._chunks += 1
        if self._chunks > _MOST_CHUNKS:
            self.abort("a body in too many chunks")
            raise _RefusedError

    def on_body(self, body: bytes) -> None:
        """Pass this part of the body on."""
        self._buffered_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Pass the end of the request on."""
        self._buffered_bytes, self._in_body = 0, False
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline, and free the place."""
        super().connection_lost(exc)
        self._deadlines.cancel()
        self._places.leave(self)

    def on_response_complete(self) -> None:
        """Wait for the next request. Unlike uvicorn's, this sets no timer, and finds no pipelined request."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
        self._has_begun = False
        self._deadlines.note_answer()
        self._places.begin_turn(self)

    @property
    def stage(self) -> Stage:
        """Return how far the present request is."""
        if self._is_answering():
            return Stage.PARTIAL if self._in_body else Stage.COMPLETE
        return Stage.PARTIAL if self._has_begun else Stage.SILENT

    def pause(self) -> None:
        """Read nothing until ``resume``: what is sent stays in the system's buffers."""
        self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self.transport.resume_reading()

    def abort(self, reason: str) -> None:
        """Log ``reason`` and close at once, even if the client has not read all that was written."""
        self.refusals.add(reason)
        self.connections.discard(self)  # uvicorn does so only later, when the transport is closed
        self.transport.abort()
        self._places.leave(self)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._unstarted = cycle, app  # until it is known whether the whole request is here

    def _start_request(self) -> None:
        """Pass a request that has begun in the data just parsed to the endpoint or to the application."""
        if self._unstarted is None:
            return
        cycle, app = self._unstarted
        self._unstarted = None
        is_whole = not cycle.more_body and not cycle.disconnected and not self.flow.write_paused
        if self._webhooks is not None and is_whole and is_for_webhooks(cast(Scope, cycle.scope)):
            self._take(self._webhooks, cycle)
        else:
            super()._start_asgi_task(cycle, app)

    def _take(self, webhooks: WebhookEndpoint, cycle: RequestResponseCycle) -> None:
        body, cycle.body = bytes(cycle.body), bytearray()  # an idle connection keeps its last cycle
        try:
            webhooks.take(cycle.scope["headers"], body, partial(self._reply, cycle))
        except Exception:
            log.exception("a webhook could not be answered")
            detail = "this is an error of the receiver; its log says more"
            self._reply(cycle, answer_of(500, closes=True, error="internal", detail=detail))

    def _reply(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        if cycle.disconnected or self.transport.is_closing():
            return
        cycle.keep_alive = cycle.keep_alive and not answer.closes
        usual = self.server_state.default_headers
        self.transport.write(to_http(answer, usual, keep_alive=cycle.keep_alive))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _parse(self, data: bytes) -> None:
        self._buffered_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # what follows an upgrade is not a request; the connection closes after its answer
        except httptools.HttpParserError:
            self._refuse()
        if self._buffered_bytes > _SLICE_BYTES:
            self._refuse()

    def _refuse(self) -> None:
        """Close the connection after invalid HTTP; first answer 400, unless an answer has already begun."""
        if self.transport.is_closing():
            return
        self.refusals.add("not a valid HTTP request")
        is_part_of_request = self._in_body or self._is_answering()
        if is_part_of_request:  # the application sees a disconnect, and counts the request itself
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif tally := self.app_state.get("tally"):
            tally.add(counts.REJECTED_REQUESTS, "malformed_http")
        if not (is_part_of_request and self.cycle.response_started):
            self.transport.write(_BAD_REQUEST)
        self.transport.close()

    def _is_answering(self) -> bool:
        if self.cycle is None:  # no request has come yet
            return False
        return not self.cycle.response_complete


def _note_crowd() -> None:
    reason = "more connections than are read at once"
    Connection.crowds.add(reason, read_at_once=str(most_connections()))


def most_connections() -> int:
    """Return how many connections to read at once, so that enough files are left for everything else."""
    return max(1, min(_MOST_CONNECTIONS, _files_for_connections()))


def most_waiting() -> int:
    """Return how many more connections may wait."""
    return max(0, min(_MOST_WAITING, _files_for_connections() - _MOST_CONNECTIONS))


def _files_for_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (_MANY_FILES if files == resource.RLIM_INFINITY else files) - _OTHER_FILES


def raise_file_limit() -> None:
    """Raise this process's limit on open files as far as the system allows."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if most == resource.RLIM_INFINITY else most
    if files != resource.RLIM_INFINITY and files < wanted:
        with suppress(OSError, ValueError):  # the present limit must do
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
