"""The receiver's application: depends on Redis alone, not on rules, workers or Polar."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from app.health import HealthEndpoints
from app.signature import Verifier
from app.webhooks import WebhookEndpoint
from config.settings import Settings
from workers.runtime import RECEIVER_SECONDS, connect, intake_for, require_redis_url, require_secrets


def create_app(settings: Settings) -> Starlette:
    """Return the receiver; ConfigError where a setting that it needs is missing.

    It starts without Redis, and answers 503 until Redis is there.
    """
    url = require_redis_url(settings)
    redis = connect(url, timeout_seconds=RECEIVER_SECONDS)  # first: it knows an URL that cannot be used
    intake = intake_for(url)
    webhooks = WebhookEndpoint(Verifier(require_secrets(settings)), intake)
    token = settings.ops_token.get_secret_value() if settings.ops_token else None
    health = HealthEndpoints(intake, redis, token)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await intake.close()
        await health.close()

    app = Starlette(
        routes=[
            Route("/webhooks/polar", webhooks.answer, methods=["POST"]),
            Route("/livez", health.livez),
            Route("/readyz", health.readyz),
            Route("/healthz", health.healthz),
            Route("/metrics", health.metrics),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # Polar follows no redirect; and this one would trust the Host header
    return app
