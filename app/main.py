"""The receiver's application: depends on Redis alone, not on rules, workers or Polar."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.receiver.counting import Counting
from app.receiver.health import HealthEndpoints
from app.receiver.signature import Verifier
from app.receiver.webhooks import WebhookEndpoint
from config.settings import Settings
from workers.store.connect import connect, intake_for
from workers.store.counts import Tally
from workers.timings import DEFAULT_TIMINGS, Timings

_WEBHOOKS = "/webhooks/polar"


def create_app(settings: Settings, timings: Timings = DEFAULT_TIMINGS) -> ASGIApp:
    """Return the receiver; ConfigError where a setting that it needs is missing.

    It starts without Redis, and answers 503 until Redis is there.
    """
    url = settings.require_redis_url()
    patience = timings.receiver_redis_seconds
    redis = connect(url, timeout_seconds=patience)  # first: it knows an URL that cannot be used
    intake = intake_for(url, timeout_seconds=patience)
    tally = Tally()
    counting = Counting(tally, redis)
    webhooks = WebhookEndpoint(Verifier(settings.require_secrets()), intake, tally)
    token = settings.ops_token.get_secret_value() if settings.ops_token else None
    health = HealthEndpoints(intake, redis, counting, token)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Tally]]:
        counts = asyncio.create_task(counting.run())
        yield {"tally": tally}  # for app.receiver.connections
        counting.end()
        await counts
        await intake.close()
        await health.close()

    routed = Starlette(
        routes=[
            Route(_WEBHOOKS, webhooks, methods=["POST"]),
            Route("/livez", health.livez),
            Route("/readyz", health.readyz),
            Route("/healthz", health.healthz),
            Route("/metrics", health.metrics),
        ],
        lifespan=lifespan,
    )
    # Polar follows no redirect; and this one would trust the Host header.
    routed.router.redirect_slashes = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette's way to a route costs a webhook as much as its verification.
        is_webhook = scope["type"] == "http" and scope["path"] == _WEBHOOKS and scope["method"] == "POST"
        await (webhooks if is_webhook else routed)(scope, receive, send)

    return app
