"""The composition root: from settings to the parts that receiver, worker, command line and tests use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis.asyncio
from redis import Redis
from redis.exceptions import RedisError

from config.errors import ConfigError
from config.rulebook import Rulebook
from config.rules import Rules
from config.settings import Settings
from workers import jobs
from workers.embedded.server import EmbeddedRedis
from workers.monitoring.alerter import Alerter
from workers.operations.backfill.run import Mender
from workers.operations.pacing import Turns, say_nothing
from workers.operations.reconcile import Reconciler
from workers.pipeline.granter import Granter
from workers.pipeline.worker import GrantWorker
from workers.polar.client import Polar
from workers.store.counts import Tally
from workers.store.deliveries import DeliveryStore
from workers.store.intake import Intake
from workers.store.ledger import Ledger
from workers.store.throttle import Pauses

# Polar waits ten seconds for an answer and asks for two: a receiver rather says 503 in time.
RECEIVER_SECONDS = 3
_WORKER_SECONDS = 10

# How Polar begins them, now and formerly; people paste one for the other.
_TOKENS_BEGIN = "polar_oat_"
_SECRETS_BEGIN = ("whsec_", "polar_whs_")

# A burst waits for one of these rather than be refused; Redis answers one at a time anyway.
_CONNECTIONS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Stores:
    """What lies in Redis."""

    redis: Redis
    deliveries: DeliveryStore
    ledger: Ledger
    pauses: Pauses


@contextmanager
def redis_server(settings: Settings) -> Iterator[str]:
    """Yield the URL of the Redis to use: the operator's, else the embedded one while we need it."""
    if settings.redis_url is not None:
        yield settings.redis_url.get_secret_value()
        return
    with EmbeddedRedis(settings.data_dir) as embedded:
        yield embedded.url


@contextmanager
def stores(settings: Settings) -> Iterator[Stores]:
    """Yield the stores of the Redis that the settings mean."""
    with redis_server(settings) as url, connect(url) as connection:
        yield stores_in(connection, settings)


def connect(url: str, *, timeout_seconds: float = _WORKER_SECONDS) -> Redis:
    """Return a client for workers and commands, or with less patience for a receiver; it connects later.

    ConfigError if the URL's options (``?name=value``) are none that redis-py knows.
    """
    try:
        client = Redis.from_url(url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds)
        client.connection_pool.make_connection()  # it is only built: else it would fail at the first command
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigError(
            f"REDIS_URL: its options, after the question mark, cannot be used: {error}"
        ) from None
    return client


def stores_in(connection: Redis, settings: Settings) -> Stores:
    """Return the stores in one Redis."""
    return Stores(
        redis=connection,
        deliveries=DeliveryStore(connection),
        ledger=Ledger(connection, retain=settings.retain),
        pauses=Pauses(connection, requests_per_minute=settings.requests_per_minute),
    )


def granter_for(settings: Settings, stores: Stores, rules: Callable[[], Rules]) -> Granter:
    """Return what turns deliveries into credit by the rules of the moment; ConfigError without a token."""
    return Granter(
        inbox=stores.deliveries,
        book=stores.ledger,
        gate=stores.pauses,
        polar=polar_for(settings, stores.ledger.tally),
        rules=rules,
    )


def mender_for(stores: Stores, polar: Polar, say: Callable[[str], object] = say_nothing) -> Mender:
    """Return what finds at ``polar`` and grants what never came; ``say`` is told what it waits for."""
    turns = Turns(pauses=stores.pauses, say=say)
    return Mender(store=stores.deliveries, ledger=stores.ledger, polar=polar, turns=turns)


def polar_for(settings: Settings, tally: Tally | None = None) -> Polar:
    """Return a client for the Polar that the settings mean; ConfigError without a token."""
    return Polar(url=settings.polar_url, token=require_token(settings), tally=tally)


def require_redis_url(settings: Settings) -> str:
    """Return the operator's Redis; receiver and worker alone do not bring one of their own."""
    if settings.redis_url is None:
        raise ConfigError(
            "REDIS_URL is not set: receiver and workers must share one Redis; set it for both, or use "
            "`credits up`, which runs them together with an embedded one"
        )
    return settings.redis_url.get_secret_value()


def require_token(settings: Settings) -> str:
    """Return the access token, or say how to get one."""
    if settings.access_token is None:
        raise ConfigError(
            "POLAR_ACCESS_TOKEN is not set: make an organization access token with the scope "
            "events:write in Polar's dashboard (Settings > Developers)"
        )
    token = settings.access_token.get_secret_value()
    if token.startswith(_SECRETS_BEGIN):
        raise ConfigError(
            "POLAR_ACCESS_TOKEN holds the secret of a webhook endpoint, which belongs into "
            f"POLAR_WEBHOOK_SECRET: a token begins with {_TOKENS_BEGIN}"
        )
    return token


def require_secrets(settings: Settings) -> tuple[str, ...]:
    """Return the signing secrets, or say where to find one."""
    if not settings.webhook_secrets:
        raise ConfigError(
            "POLAR_WEBHOOK_SECRET is not set: it is shown with the webhook endpoint in Polar's "
            "dashboard (Settings > Webhooks)"
        )
    if any(secret.startswith(_TOKENS_BEGIN) for secret in settings.webhook_secrets):
        raise ConfigError(
            "POLAR_WEBHOOK_SECRET holds an access token, which belongs into POLAR_ACCESS_TOKEN: the secret "
            "is shown with the webhook endpoint in Polar's dashboard (Settings > Webhooks)"
        )
    return settings.webhook_secrets


def worker_for(settings: Settings, url: str) -> GrantWorker:
    """Return an RQ worker that is ready to work; ConfigError if it could not grant."""
    connection = connect(url)
    rulebook = Rulebook(settings.rules_path)
    jobs.install(granter_for(settings, stores_in(connection, settings), rulebook.current))
    tell = _teller_for(settings, connection)
    return GrantWorker(connection, rulebook=rulebook, retain=settings.retain, tell=tell)


def reconciler_for(settings: Settings, url: str) -> Reconciler:
    """Return what reconciles every so often; ConfigError if it could not."""
    if settings.reconcile_every is None:
        raise ConfigError("CREDITS_RECONCILE_EVERY is not set: write how often, as in 6h")
    connection, rulebook = connect(url), Rulebook(settings.rules_path)
    held = stores_in(connection, settings)
    return Reconciler(
        redis=connection,
        mender=mender_for(held, polar_for(settings, held.ledger.tally)),
        granter=granter_for(settings, held, rulebook.current),
        rulebook=rulebook,
        tally=held.ledger.tally,
        every=settings.reconcile_every,
    )


def _teller_for(settings: Settings, connection: Redis) -> Callable[[], None]:
    """Return what tells people of trouble at each tick, if they want to be told."""
    if settings.alert_url is None:
        return lambda: None
    return Alerter(connection, url=settings.alert_url.get_secret_value()).look


def intake_for(url: str) -> Intake:
    """Return the receiver's door to Redis; connects when first used."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=RECEIVER_SECONDS,
        socket_timeout=RECEIVER_SECONDS,
        socket_connect_timeout=RECEIVER_SECONDS,
    )
    return Intake(redis.asyncio.Redis.from_pool(pool))
