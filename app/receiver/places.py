"""Decides which connections are read: a limited number at a time, while the others wait for a place."""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

# How long a connection whose request is not complete keeps its place while others wait. Polar sends a webhook
# in one piece, or in two with a round trip between them. Strangers who send half a request on each connection
# delay Polar by this time if they open 250 connections in it; to keep Polar out they must open more.
_TURN_SECONDS = 0.25


class Stage(Enum):
    """How far the present request of a connection is."""

    SILENT = auto()
    """Nothing of it was read."""
    PARTIAL = auto()
    """A part of it was read, and is held in memory; or its client has not read the answers before it."""
    COMPLETE = auto()
    """All of it was read, and it is being answered."""


class Visitor(Protocol):
    """A connection, as its place sees it."""

    @property
    def stage(self) -> Stage:
        """Return how far its present request is."""

    def pause(self) -> None:
        """Stop reading: what is sent stays in the system's buffers."""

    def resume(self) -> None:
        """Go on reading."""

    def abort(self, reason: str) -> None:
        """Close at once, and leave."""


class Places:
    """Gives each connection a place to be read, or lets it wait for one.

    A connection loses nothing by waiting while nothing of its request was read. A request that was read in
    part takes memory, so its connection is closed if its turn is over and others wait. One that is being
    answered stays.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_wait: Callable[[], None]) -> None:
        self._loop = loop
        self._on_wait = on_wait
        self._turns: dict[Visitor, float] = {}  # since when each has its place, oldest first
        self._line: dict[Visitor, None] = {}  # those that wait, the next one first
        self._rotation: asyncio.TimerHandle | None = None

    @property
    def are_scarce(self) -> bool:
        """Return whether any connection waits."""
        return bool(self._line)

    def enter(self, one: Visitor, *, most: int, most_waiting: int) -> None:
        """Give a new connection a place if one is free, or if a silent connection can wait instead."""
        if len(self._turns) < most:
            self._take(one)
        elif (silent := self._oldest_silent()) is not None:
            del self._turns[silent]
            self._take(one)
            self._wait(silent)
        else:
            self._wait(one)
        while len(self._line) > most_waiting:
            next(iter(self._line)).abort("too many connections: the one that waited longest was closed")

    def begin_turn(self, one: Visitor) -> None:
        """Begin the turn of a connection anew, because it was answered."""
        if self._turns.pop(one, None) is not None:
            self._take(one)

    def leave(self, one: Visitor) -> None:
        """Give the place of a connection that is closed to the first one that waits."""
        self._line.pop(one, None)
        if self._turns.pop(one, None) is not None:
            self._admit_first()

    def _oldest_silent(self) -> Visitor | None:
        return next((one for one in self._turns if one.stage is Stage.SILENT), None)

    def _take(self, one: Visitor) -> None:
        self._turns[one] = self._loop.time()

    def _wait(self, one: Visitor) -> None:
        one.pause()
        self._line[one] = None
        self._on_wait()
        self._rotate_later()

    def _rotate_later(self) -> None:
        if self._line and self._rotation is None:
            self._rotation = self._loop.call_later(_TURN_SECONDS, self._rotate)

    def _admit_first(self) -> None:
        if self._line:
            first = next(iter(self._line))
            del self._line[first]
            self._take(first)
            first.resume()

    def _rotate(self) -> None:
        """Give the places of connections whose turn is over to those that wait."""
        self._rotation = None
        began, waiting = self._loop.time() - _TURN_SECONDS, len(self._line)
        over = [one for one, since in self._turns.items() if since <= began]
        silent = [one for one in over if one.stage is Stage.SILENT][:waiting]
        partial = [one for one in over if one.stage is Stage.PARTIAL][: waiting - len(silent)]
        for one in silent:
            del self._turns[one]
            self._admit_first()
            self._wait(one)
        for one in partial:
            one.abort("a request took too long while others waited")
        self._rotate_later()
