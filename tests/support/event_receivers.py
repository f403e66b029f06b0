"""Storefronts that receive credit events: without sockets, and over HTTP."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.real_stores import RETAIN, scores
from tests.support.servers import running
from workers.core.credit_events import CreditEvent
from workers.operations.outbox.reader import EventReader
from workers.operations.outbox.receiver import Storefront
from workers.operations.outbox.sender import EventSender
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.outbox import Outbox

EVENTS_SECRET = "whsec_" + "c3RvcmVmcm9udC1hbmQtZ3JhbnRlcg=="


@dataclass(kw_only=True)
class FakeStorefront:
    """Takes events without sockets; ``answer`` returns why it does not take one, or an empty text."""

    answer: Callable[[CreditEvent], str] = lambda _event: ""
    asked: list[str] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)

    def post(self, event: CreditEvent) -> str:
        self.asked.append(event.id)
        refusal = self.answer(event)
        if not refusal:
            self.told.append({"id": event.id, **json.loads(event.body)})
        return refusal


def sender_to(redis: Redis, storefront: Storefront, outbox: Outbox | None = None) -> EventSender:
    """Return what sends the events in ``redis``, without jitter."""
    return EventSender(
        outbox=outbox or Outbox(redis),
        reader=EventReader(ledger=Ledger(redis, retain=RETAIN), deliveries=DeliveryStore(redis)),
        storefront=storefront,
        jitter=lambda: 0.0,
    )


def let_events_be_due(redis: Redis) -> None:
    """End all leases and waits of events."""
    for event in scores(redis, keys.OUTBOX):
        redis.zadd(keys.OUTBOX, {event: 1})


@dataclass(kw_only=True)
class ReceivedEvent:
    """An event that arrived over HTTP with a valid signature."""

    id: str
    body: dict[str, Any]


@dataclass(kw_only=True)
class HttpStorefront:
    """Receives events over HTTP; ``status`` is what it answers."""

    url: str = ""
    status: int = 204
    received: list[ReceivedEvent] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)

    async def take(self, request: Request) -> Response:
        """Verify an event as the documentation says, and keep it."""
        body = await request.body()
        headers = dict(request.headers)
        whole = Webhook(EVENTS_SECRET).verify(body, headers)
        if self.status < 300:
            self.received.append(ReceivedEvent(id=headers["webhook-id"], body=whole))
        else:
            self.refused.append(headers)
        return Response(status_code=self.status, headers={"location": self.url})


@contextmanager
def http_storefront() -> Iterator[HttpStorefront]:
    """Run a storefront."""
    here = HttpStorefront()
    app = Starlette(routes=[Route("/events/{secret}", here.take, methods=["GET", "POST"])])
    with running(app) as url:
        here.url = f"{url}/events/s3cret"
        yield here
