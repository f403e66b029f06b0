"""Bounds the receiver's connections: what each may send, how long it may take, and how many there may be."""

import asyncio
from functools import partial
from typing import ClassVar, cast
from weakref import WeakKeyDictionary

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.receiver.answers import Answer, answer_of, to_http
from app.receiver.arrival import Arrival
from app.receiver.crowd_limits import most_connections, most_waiting
from app.receiver.deadlines import Deadlines
from app.receiver.framing import is_unambiguous
from app.receiver.places import Places, Stage
from app.receiver.refusal_log import RefusalLog
from app.receiver.webhooks import PATHS, WebhookEndpoint
from config.log import get_log
from workers.store import counts

log = get_log(__name__)

# From the start of a connection, or its last answer, to the next answer. Polar waits ten seconds for one; a
# connection that is idle after an answer is closed after five. This must be less than _GRACE_SECONDS in
# app.receiver.server, or uvicorn answers 500 to a slow sender when the receiver stops.
_REQUEST_SECONDS = 15.0

# How much the parser gets at a time, and the most that it may buffer: headers, trailers, a chunk's extension.
_SLICE_BYTES = 16_384

# The most chunks in one body. Each costs as much to parse as a header; Polar sends a few, of kilobytes each.
_MOST_CHUNKS = 1000

# The most headers in a request, and in its trailers. Polar sends ten; tiny ones take 30 times their bytes.
_MOST_HEADERS = 100

# The paths as Polar sends them. The application handles every other spelling.
_URLS = frozenset(path.encode() for path in PATHS)

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class _RefusedError(Exception):
    """The request is valid for the parser, but not for us; raising this ends the parsing."""


class Connection(HttpToolsProtocol):
    """A connection that is closed when its request takes too long, and read only while it has a place.

    A new connection is read at once if any other can wait, so that a stranger who opens all of them cannot
    lock Polar out.

    A webhook that was read whole goes straight to the endpoint, and its answer is written at once. Any other
    request is passed to the ASGI application as uvicorn does it, with a scope, a cycle and a task of its own.
    """

    # This relies on internals of uvicorn's HttpToolsProtocol, which are the same in 0.53 and 0.54. They are:
    # its connections, parser, url, headers, expect_100_continue, scope, loop, transport and app_state; its
    # cycle, with disconnected, keep_alive, message_event, response_started, response_complete, body and
    # more_body; on_response_complete, timeout_keep_alive_handler, and the parser's callbacks. If uvicorn
    # changes one, a test fails: tests/integration/test_connections.py, test_framing.py, test_strangers.py,
    # test_whole_webhooks.py or test_metrics.py.

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
    _is_paused = False
    _early = b""  # what was read nevertheless, before the first turn
    _has_begun = False  # something of the present request was read
    _arrival: Arrival | None = None  # a webhook whose beginning was read just now
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
        if self._is_paused:  # uvloop reads once after connection_made, even if that pauses
            self.transport.pause_reading()
            self._early += data
            return
        self._deadlines.note_data()
        self._has_begun = True
        for start in range(0, len(data), _SLICE_BYTES):
            if self.transport.is_closing():
                return
            self._parse(data[start : start + _SLICE_BYTES])
            if self._arrival is not None:
                self._pass_on(self._arrival)

    def on_message_begin(self) -> None:
        """Begin a request; refuse pipelining, which no legitimate client uses."""
        if self._is_answering():
            self.abort("a request arrived before the previous one was answered")
            raise _RefusedError
        self._chunks = 0
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the header, unless there are too many; the rest is as in uvicorn, without a second call."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > _MOST_HEADERS:
            raise _RefusedError

    def on_headers_complete(self) -> None:
        """Begin the request if its headers are unambiguous."""
        version, may_upgrade = self.parser.get_http_version(), self.parser.should_upgrade()
        if not is_unambiguous(version, self.headers, may_upgrade=may_upgrade):
            raise _RefusedError
        headers, self.headers = self.headers, []  # from now on it collects trailers, which are no headers
        if version == "1.0":  # its clients would take the interim answer for the answer
            self.expect_100_continue = False
        is_usual = not may_upgrade and not self.expect_100_continue and self.parser.get_method() == b"POST"
        if is_usual and self.url in _URLS and self._webhooks is not None:
            keep_alive = version != "1.0" and self.parser.should_keep_alive()
            self._arrival = Arrival(headers, keep_alive=keep_alive)
            self.cycle = cast(RequestResponseCycle, self._arrival)
        else:
            self._begin_cycle(headers)
        self._buffered_bytes, self._in_body = 0, True
        if may_upgrade:  # the upgrade is ignored, and the parser cannot go on after it
            self.cycle.keep_alive = False
        if self.expect_100_continue:  # a proxy that was not told to continue may send another request
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
        if self._arrival is not None:
            self._arrival.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Pass the end of the request on."""
        if self.cycle.keep_alive and not self.parser.should_keep_alive():
            raise _RefusedError  # a trailer closes the connection: the parser would ignore the next request
        self._buffered_bytes, self._in_body = 0, False
        if self._arrival is not None:
            self._arrival.is_whole = True
        else:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline, and free the place."""
        super().connection_lost(exc)
        self.cycle = None  # type: ignore[assignment]  # as uvicorn's; otherwise each would keep the other alive
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
            is_client_slow = self._in_body or self.flow.write_paused  # it sends slowly, or reads no answers
            return Stage.PARTIAL if is_client_slow else Stage.COMPLETE
        return Stage.PARTIAL if self._has_begun else Stage.SILENT

    def pause(self) -> None:
        """Read nothing until ``resume``: what is sent stays in the system's buffers."""
        self._is_paused = True
        self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._is_paused = False
        self.transport.resume_reading()
        if self._early:
            self.loop.call_soon(self.data_received, self._early)  # before anything else is read
            self._early = b""

    def abort(self, reason: str) -> None:
        """Log ``reason`` and close at once, even if the client has not read all that was written."""
        self.refusals.add(reason)
        self.connections.discard(self)  # uvicorn does so only later, when the transport is closed
        self.transport.abort()
        self._places.leave(self)

    def _begin_cycle(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Pass the request to the application, as uvicorn does."""
        read = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()  # makes the scope
        self.url, self.headers, self.expect_100_continue = read
        self.scope["headers"] = headers
        super().on_headers_complete()

    def _pass_on(self, arrival: Arrival) -> None:
        """Pass a webhook to the endpoint if it is whole, else to the application, which reads the rest."""
        self._arrival = None
        if arrival.is_whole and not arrival.disconnected and not self.flow.write_paused:
            self._take(arrival)
            return
        self.cycle = None  # type: ignore[assignment]  # as uvicorn's; or the next cycle would count as pipelined
        self._begin_cycle(arrival.headers)
        self.cycle.keep_alive, self.cycle.disconnected = arrival.keep_alive, arrival.disconnected
        self.cycle.body, self.cycle.more_body = bytearray(arrival.body), not arrival.is_whole
        if arrival.body or arrival.is_whole or arrival.disconnected:
            self.cycle.message_event.set()

    def _take(self, arrival: Arrival) -> None:
        reply = partial(self._reply, arrival)
        try:
            cast(WebhookEndpoint, self._webhooks).take(arrival.headers, arrival.body, reply)
        except Exception:
            log.exception("a webhook could not be answered")
            detail = "this is an error of the receiver; its log says more"
            reply(answer_of(500, closes=True, error="internal", detail=detail))

    def _reply(self, arrival: Arrival, answer: Answer) -> None:
        if arrival.disconnected or arrival.response_complete or self.transport.is_closing():
            return
        keep_alive = arrival.keep_alive and not answer.closes
        self.transport.write(to_http(answer, self.server_state.default_headers, keep_alive=keep_alive))
        arrival.response_complete = True
        self.cycle = None  # type: ignore[assignment]  # as uvicorn's; an idle connection keeps no webhook
        if not keep_alive:
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
