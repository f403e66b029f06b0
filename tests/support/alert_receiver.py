"""A chat server that receives alerts, on a port of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.servers import running

_POLL_SECONDS = 0.01


@dataclass(kw_only=True)
class Chat:
    """The received alerts and the answer to give; ``secret`` is the part of the URL that must not leak."""

    secret: str = field(default_factory=lambda: uuid4().hex)
    url: str = ""
    status: int = 204
    posted: list[dict[str, Any]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    answers: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.answers.set()

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of the received alerts, in order."""
        return [one["kind"] for one in self.posted]

    async def take(self, request: Request) -> Response:
        """Receive an alert; answer once the test allows it."""
        self.posted.append(await request.json())
        self.agents.add(request.headers["user-agent"])
        while not self.answers.is_set():
            await asyncio.sleep(_POLL_SECONDS)
        return Response(status_code=self.status, headers={"location": self.url})


@contextmanager
def chat() -> Iterator[Chat]:
    """Run a chat server."""
    here = Chat()
    app = Starlette(routes=[Route("/services/{secret}", here.take, methods=["GET", "POST"])])
    with running(app) as url:
        here.url = f"{url}/services/{here.secret}"
        try:
            yield here
        finally:
            here.answers.set()
