"""Connections without sockets: a loop whose clock the test advances, and transports without a peer."""

import asyncio
from collections.abc import Callable
from typing import cast

from starlette.applications import Starlette
from uvicorn.server import ServerState

from app.receiver.connections import Connection
from app.receiver.server import server_config

REQUEST_SECONDS, IDLE_SECONDS = 15, 5


class Timer:
    """A scheduled call."""

    def __init__(self, due: float, call: Callable[[], object]) -> None:
        self.due, self.call, self.cancelled = due, call, False

    def cancel(self) -> None:
        """Cancel the call."""
        self.cancelled = True


class Loop:
    """A fake event loop whose clock the test advances."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        """Return the time."""
        return self.now

    def call_later(self, seconds: float, call: Callable[..., object], *args: object) -> Timer:
        """Schedule a call."""
        self.timers.append(Timer(self.now + seconds, lambda: call(*args)))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        """Advance the clock, and make the calls that are due."""
        self.now += seconds
        due = [timer for timer in self.timers if timer.due <= self.now and not timer.cancelled]
        self.timers = [timer for timer in self.timers if timer.due > self.now]
        for timer in due:
            timer.call()


class Transport:
    """A fake transport without a peer."""

    def __init__(self) -> None:
        self.state = "open"
        self.is_read = True

    def pause_reading(self) -> None:
        """Read nothing."""
        self.is_read = False

    def resume_reading(self) -> None:
        """Read."""
        self.is_read = True

    def abort(self) -> None:
        """Close at once."""
        self.state = "aborted"

    def close(self) -> None:
        """Close once all is written, which never happens here: the peer does not read."""
        self.state = "closing"

    def is_closing(self) -> bool:
        """Return whether it is closing or closed."""
        return self.state != "open"

    def get_extra_info(self, _name: str) -> None:
        """Return no information about either side."""


class Door:
    """A server's connections."""

    def __init__(self) -> None:
        self.loop, self.state = Loop(), ServerState()
        self.config = server_config(Starlette())

    def connect(self) -> tuple[Connection, Transport]:
        """Return a new connection and its transport."""
        transport = Transport()
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        connection = Connection(self.config, self.state, {}, _loop=loop)
        connection.connection_made(cast(asyncio.Transport, transport))
        return connection, transport
