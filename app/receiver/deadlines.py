"""Ends connections whose request takes too long, and those that are idle.

Each connection has one timer. It is not set anew for each request, because that would cost as much as parsing
the request's headers: when it is due too early, it is set for what is left.
"""

import asyncio
from collections.abc import Callable


class Deadlines:
    """The time until which a connection must be answered, or must send its next request."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        request_seconds: float,
        idle_seconds: float,
        on_late: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        """Start to wait for the first request, which has no less time than any other."""
        self._loop = loop
        self._request_seconds, self._idle_seconds = request_seconds, idle_seconds
        self._on_late, self._on_idle = on_late, on_idle
        self._begun = loop.time()
        self._is_idle = False
        self._set()

    def note_data(self) -> None:
        """Note that something of a request was read: it is late only if its answer is."""
        self._is_idle = False

    def note_answer(self) -> None:
        """Begin anew: for the next request, or for a client that has not read this answer yet."""
        self._begun = self._loop.time()
        self._is_idle = True

    def cancel(self) -> None:
        """Do nothing more, and forget the connection: it is then freed without a search for garbage."""
        self._timer.cancel()
        self._on_late = self._on_idle = _do_nothing

    def _set(self) -> None:
        # Never for longer than an idle connection has: it may be answered right after this.
        allowed = self._begun + (self._idle_seconds if self._is_idle else self._request_seconds)
        self._timer = self._loop.call_later(min(allowed - self._loop.time(), self._idle_seconds), self._check)

    def _check(self) -> None:
        passed = self._loop.time() - self._begun
        if passed >= self._request_seconds:
            self._on_late()
            return
        if self._is_idle and passed >= self._idle_seconds:
            self._is_idle = False  # what was written may take the client some time
            self._on_idle()
        self._set()


def _do_nothing() -> None:
    """Do nothing: the connection is closed."""
