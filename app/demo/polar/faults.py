"""Faults between us and Polar; each is a value that decides the fate of one ingest request."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from msgspec import Struct
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

Answer = Callable[[], Response]


class Fault(Protocol):
    """Decides what becomes of a request; calling ``answer`` stores the events as Polar does."""

    def __call__(self, answer: Answer, /) -> Awaitable[Response]:
        """Return the response that the client gets."""


class Status(Struct, frozen=True):
    """Nothing is stored; the client gets ``status`` and ``body``."""

    status: int
    body: str = ""

    async def __call__(self, _answer: Answer) -> Response:
        """Respond without storing anything."""
        return PlainTextResponse(self.body, self.status)


class RateLimited(Struct, frozen=True):
    """Nothing is stored; the client gets 429 with an empty body."""

    retry_after: int = 60  # seconds; Polar always sends the whole window

    async def __call__(self, _answer: Answer) -> Response:
        """Respond without storing anything."""
        return Response(status_code=429, headers={"retry-after": str(self.retry_after)})


class Garbage(Struct, frozen=True):
    """Nothing is stored; the client gets 200 with ``body``, which is meaningless or untrue."""

    body: str = "<html>It works!</html>"

    async def __call__(self, _answer: Answer) -> Response:
        """Respond as a broken proxy in between would."""
        return PlainTextResponse(self.body)


class Slow(Struct, frozen=True):
    """After ``seconds`` the events are stored and the answer is sent, even if the client has gone."""

    seconds: float

    async def __call__(self, answer: Answer) -> Response:
        """Wait, then store and respond."""
        await asyncio.sleep(self.seconds)
        return answer()


class CommitThenBreak(Struct, frozen=True):
    """The events are stored; the connection is dropped before a byte of the answer is sent."""

    async def __call__(self, answer: Answer) -> Response:
        """Store, then drop the connection."""
        return DroppedConnection(status_code=answer().status_code)


class CommitThenWait(Struct, frozen=True):
    """The events are stored at once; the answer is sent after ``seconds``, even if the client has gone."""

    seconds: float

    async def __call__(self, answer: Answer) -> Response:
        """Store, then wait."""
        response = answer()
        await asyncio.sleep(self.seconds)
        return response


class DroppedConnection(Response):
    """Drops the connection instead of answering; ``status_code`` is that of the answer it replaces."""

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        """Drop the connection and wait until it is gone."""
        # ASGI has no message for this, and uvicorn turns every exception into a 500. But `receive` is a
        # method of uvicorn's request cycle, which has the transport.
        cast(Any, receive).__self__.transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
