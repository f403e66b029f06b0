"""A storefront that fails three times in ten: with 5xx, dropped connections, and answers that are late."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.demo.polar.faults import DroppedConnection
from tests.chaos.storm.hasty_process import HASTY
from tests.chaos.storm.seed import random_for
from tests.support.event_receivers import EVENTS_SECRET

_PATH = "/credit-events"
_TOO_LATE_SECONDS = HASTY.event_seconds * 1.5


@dataclass(kw_only=True)
class StumblingStorefront:
    """Verifies each event as the documentation says, and keeps those that it has taken."""

    seed: int
    told: dict[str, bytes] = field(default_factory=dict)
    """The body of each event that it has taken, by id."""
    answers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random_for(self.seed, "storefront")

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(routes=[Route(_PATH, self._take, methods=["POST"])])

    @staticmethod
    def url(base: str) -> str:
        """Return where it receives events."""
        return base + _PATH

    async def _take(self, request: Request) -> Response:
        body, kind = await request.body(), self._next_kind()
        self.answers[kind] += 1
        match kind:
            case "5xx":
                return Response(status_code=self._rng.choice([500, 502, 503]))
            case "dropped":
                return DroppedConnection()
        self._keep(dict(request.headers), body)
        if kind == "taken, and dropped":
            return DroppedConnection()
        if kind == "taken, and too late":
            await asyncio.sleep(_TOO_LATE_SECONDS)
        return Response(status_code=204)

    def _next_kind(self) -> str:
        failures = {"5xx": 0.1, "dropped": 0.05, "taken, and dropped": 0.05, "taken, and too late": 0.1}
        left = self._rng.random()
        for kind, share in failures.items():
            left -= share
            if left < 0:
                return kind
        return "taken"

    def _keep(self, headers: Mapping[str, str], body: bytes) -> None:
        try:
            Webhook(EVENTS_SECRET).verify(body, dict(headers))
        except (WebhookVerificationError, ValueError) as error:
            self.errors.append(f"a signature is wrong: {error}")
            return
        id_ = headers["webhook-id"]
        if self.told.setdefault(id_, body) != body:
            self.errors.append(f"{id_} was told as {self.told[id_]!r} and as {body!r}")

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the events that it has taken, with their ids."""
        yield from ((id_, json.loads(body)) for id_, body in self.told.items())
