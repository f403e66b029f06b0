"""Connects our client to the stand-in without a socket, through a network that loses and refuses requests."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx

from app.demo.polar import Polar, create_app
from app.demo.polar.access import INGEST

_SUBSCRIPTIONS = "/v1/subscriptions/"


class Mood(StrEnum):
    """How Polar answers requests to ingest, and to show subscriptions."""

    FINE = "fine"
    AWAY = "away"
    BROKEN = "500"
    LIMITED = "429"
    DENIED = "401"
    SILENT = "takes everything and answers nothing"


@dataclass
class MoodyPolar(httpx.BaseTransport):
    """The stand-in, behind moods; some customers it does not know for a while, some it answers with 500."""

    polar: Polar
    mood: Mood = Mood.FINE
    strangers: set[str] = field(default_factory=set)
    stumbles: set[str] = field(default_factory=set)
    """Customers and meters to whose events it answers 500."""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self) -> None:
        self._app = httpx.ASGITransport(create_app(self.polar))

    def close(self) -> None:
        """Close the event loop."""
        self._loop.close()

    def heal(self) -> None:
        """Answer everything, and know every customer."""
        self.mood = Mood.FINE
        self.strangers.clear()
        self.stumbles.clear()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of our client."""
        if request.url.path != INGEST and not request.url.path.startswith(_SUBSCRIPTIONS):
            return self._ask(request)
        match self.mood:
            case Mood.AWAY:
                raise httpx.ConnectError("Polar is away", request=request)
            case Mood.BROKEN:
                return httpx.Response(500)
            case Mood.LIMITED:
                return httpx.Response(429, headers={"retry-after": "60"})
            case Mood.DENIED:
                return httpx.Response(401, json={"error": "invalid_token"})
        answer = self._ingest(request) if request.url.path == INGEST else self._ask(request)
        if self.mood is Mood.SILENT:
            raise httpx.ReadTimeout("Polar answers nothing", request=request)
        return answer

    def _ingest(self, request: httpx.Request) -> httpx.Response:
        events: list[Mapping[str, Any]] = json.loads(request.content)["events"]
        hidden = {one: self.polar.customers.pop(one) for one in self.strangers if one in self.polar.customers}
        try:
            answer = None
            if any(not self.stumbles.isdisjoint({one["customer_id"], one["name"]}) for one in events):
                known = all(one["customer_id"] in self.polar.customers for one in events)
                answer = httpx.Response(500) if known else None
            return answer or self._ask(request)
        finally:
            self.polar.customers.update(hidden)

    def _ask(self, request: httpx.Request) -> httpx.Response:
        async def ask() -> httpx.Response:
            answer = await self._app.handle_async_request(request)
            await answer.aread()
            return answer

        got = self._loop.run_until_complete(ask())
        return httpx.Response(got.status_code, headers=got.headers, content=got.content)
