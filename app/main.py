"""The receiver's application. It depends on Redis alone, not on rules, workers or Polar."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.receiver.health import HealthEndpoints, Readiness
from app.receiver.loss_watcher import LossWatcher
from app.receiver.misdirected import MisdirectedWebhooks, is_webhook
from app.receiver.signature import Verifier
from app.receiver.tally_flusher import TallyFlusher
from app.receiver.webhooks import PATH, PATHS, WebhookEndpoint, is_for_webhooks
from config.settings import ReceiverSettings
from workers.core.envelope import stored_types
from workers.monitoring.lines import lines_together
from workers.store.arrivals import ArrivalNotes
from workers.store.connect import connect_beside_intake
from workers.store.connect_async import intake_for
from workers.store.counts import Tally
from workers.timings import DEFAULT_TIMINGS, Timings


def create_app(settings: ReceiverSettings, timings: Timings = DEFAULT_TIMINGS) -> ASGIApp:
    """Return the receiver as an ASGI application; ConfigError if a setting that it needs is missing.

    It starts without Redis, and answers 503 until Redis is available.
    """
    url = settings.require_redis_url()
    timeout = timings.receiver_redis_seconds
    options = settings.redis_options
    # First: it reports a URL that cannot work.
    redis = connect_beside_intake(url, options, timeout_seconds=timeout)
    types = stored_types(forgets_deleted=settings.forget_deleted)
    intake = intake_for(url, options, types=types, timeout_seconds=timeout, telling=lines_together)
    tally = Tally()
    notes = ArrivalNotes()
    flusher = TallyFlusher(tally, notes, redis)
    losses = LossWatcher(redis, every_seconds=timings.loss_check_seconds)
    webhooks = WebhookEndpoint(
        Verifier(settings.require_secrets()), intake, tally, notes=notes, on_accepted=losses.remember
    )
    misdirected = MisdirectedWebhooks(PATH, tally)
    token = settings.ops_token.reveal() if settings.ops_token else None
    health = HealthEndpoints(redis, flusher, token)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, object]]:
        async with _running(flusher, losses):
            # app.receiver.connections reads it as app_state
            yield {"tally": tally, "webhooks": webhooks}
        await intake.close()
        await health.close()

    routed = Starlette(routes=_routes(webhooks, Readiness(intake), health), lifespan=lifespan)
    # Polar follows no redirects, and Starlette's would trust the Host header.
    routed.router.redirect_slashes = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Straight to the endpoint: Starlette's routing costs a webhook as much as its verification.
        if is_for_webhooks(scope):
            await webhooks(scope, receive, send)
        else:
            await (misdirected if is_webhook(scope) else routed)(scope, receive, send)

    return app


@asynccontextmanager
async def _running(flusher: TallyFlusher, losses: LossWatcher) -> AsyncIterator[None]:
    """Run what works beside the requests, and end it so that no count is lost."""
    flushing, watching = asyncio.create_task(flusher.run()), asyncio.create_task(losses.run())
    yield
    watching.cancel()
    await asyncio.wait([watching])
    flusher.stop()
    await flushing


def _routes(webhooks: WebhookEndpoint, readiness: Readiness, health: HealthEndpoints) -> list[Route]:
    return [
        *(Route(path, webhooks, methods=["POST"]) for path in sorted(PATHS)),  # any other method gets 405
        Route("/livez", readiness.livez),
        Route("/readyz", readiness.readyz),
        Route("/healthz", health.healthz),
        Route("/metrics", health.metrics),
    ]
