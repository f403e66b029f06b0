"""What the commands share that run the service: options, the processes, and a look at Redis."""

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module

import click
from redis import Redis
from redis.exceptions import RedisError

from app.processes.forked import CAN_FORK
from app.processes.supervisor import ManagedProcess, do_nothing
from config.errors import ConfigError
from config.log import get_log
from config.redis_urls import RedisOptions
from config.settings import ReceiverSettings, Settings
from workers.store.connect import connect, most_connections
from workers.store.format import format_findings
from workers.store.server_check import find_wrong_kind, redis_findings, tls_findings

log = get_log(__name__)

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1, max=64),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of worker processes.",
)
receivers_option = click.option(
    "--receivers",
    type=click.IntRange(min=1, max=64),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of receiver processes, all on one port.",
)


def log_connections(
    settings: ReceiverSettings, *, receivers: int = 0, workers: int = 0, apis: int = 0
) -> None:
    """Log how many connections to Redis are opened at most: some plans allow only 20."""
    options = settings.redis_options
    senders = int(workers > 0 and isinstance(settings, Settings) and settings.events_url is not None)
    at_most = most_connections(options, receivers=receivers, workers=workers, apis=apis, senders=senders)
    log.info("connections to Redis", at_most=at_most)


def receiver_parts(listener: socket.socket, count: int, env: Mapping[str, str]) -> list[ManagedProcess]:
    """Return receivers that share a socket; each connection goes to one that is free."""
    args, shared = ["receiver", str(listener.fileno())], [listener.fileno()]
    return [
        ManagedProcess(name=f"receiver {i + 1}", args=args, env=env, pass_fds=shared) for i in range(count)
    ]


def worker_parts(
    settings: Settings, count: int, env: Mapping[str, str], *, on_fork: Callable[[], object] = do_nothing
) -> list[ManagedProcess]:
    """Return workers and what runs beside them, which may be forks; ``on_fork`` closes our sockets there."""
    if CAN_FORK:
        # Once, for all workers. A receiver alone does without; and what only the background process needs, it
        # imports itself, so that no worker waits for that.
        import_module("app.processes.worker")
    beside = ["background", *(["events"] if settings.events_url else [])]
    named = [(f"worker {i + 1}", "worker") for i in range(count)] + [(name, name) for name in beside]
    return [ManagedProcess(name=name, args=[part], env=env, on_fork=on_fork) for name, part in named]


def environment(redis_url: str, *, json: bool) -> dict[str, str]:
    return {**os.environ, "REDIS_URL": redis_url, **({"LOG_FORMAT": "json"} if json else {})}


def look_at_redis(url: str, options: RedisOptions) -> None:
    """Log what is wrong with Redis; ConfigError if a server of its kind cannot be used at all."""
    with connect(url, options) as redis:
        refuse_wrong_kind(redis)
        findings = [*tls_findings(url, options), *redis_findings(redis)]
        with suppress(RedisError, OSError):  # the findings say that it is away
            findings += format_findings(redis)
    for found in findings:
        if found.level != "ok":
            log_finding = log.error if found.level == "error" else log.warning
            log_finding("Redis needs attention", fault=found.detail)


def refuse_wrong_kind(redis: Redis) -> None:
    if reason := find_wrong_kind(redis):
        raise ConfigError(f"REDIS_URL: {reason}")
