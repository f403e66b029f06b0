"""What can go wrong between us and Polar, each as a value that one ingest request meets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

Answer = Callable[[], Response]


class Fault(Protocol):
    """Decides what becomes of a request; ``answer`` is what Polar does when all is well."""

    def __call__(self, answer: Answer, /) -> Awaitable[Response]:
        """Return what the client gets."""


@dataclass(frozen=True)
class Status:
    """Nothing is stored; the client gets ``status`` and ``body``."""

    status: int
    body: str = ""

    async def __call__(self, _answer: Answer) -> Response:
        """Answer without asking Polar."""
        return PlainTextResponse(self.body, self.status)


@dataclass(frozen=True)
class RateLimited:
    """Nothing is stored; 429 with an empty body."""

    retry_after: int = 60  # seconds; Polar always says the whole window

    async def __call__(self, _answer: Answer) -> Response:
        """Answer without asking Polar."""
        return Response(status_code=429, headers={"retry-after": str(self.retry_after)})


@dataclass(frozen=True)
class Garbage:
    """Nothing is stored; 200 and a body that says nothing (or, as given, something untrue)."""

    body: str = "<html>It works!</html>"

    async def __call__(self, _answer: Answer) -> Response:
        """Answer as a proxy in between would."""
        return PlainTextResponse(self.body)


@dataclass(frozen=True)
class Slow:
    """All is well, but only after ``seconds``, whether the client still waits or not."""

    seconds: float

    async def __call__(self, answer: Answer) -> Response:
        """Wait, then answer."""
        await asyncio.sleep(self.seconds)
        return answer()


@dataclass(frozen=True)
class CommitThenBreak:
    """The events are stored; the connection is cut before a byte of the answer is sent."""

    async def __call__(self, answer: Answer) -> Response:
        """Ask Polar and keep the answer back."""
        return Cut(status_code=answer().status_code)


@dataclass(frozen=True)
class CommitThenWait:
    """The events are stored at once; the answer comes only after ``seconds``, waited for or not."""

    seconds: float

    async def __call__(self, answer: Answer) -> Response:
        """Ask Polar, then wait."""
        response = answer()
        await asyncio.sleep(self.seconds)
        return response


class Cut(Response):
    """The answer that never comes; ``status_code`` is what it would have been."""

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        """Drop the connection and wait until it is gone."""
        # ASGI has no word for this and uvicorn makes a 500 of every exception; but `receive` is a
        # method of its request cycle, which holds the transport.
        cast(Any, receive).__self__.transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
