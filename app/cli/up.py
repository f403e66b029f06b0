"""``credits up``: runs the receiver and the workers."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import click

from app.api.server import desk_url, listen_for_api
from app.cli.granting import log_settings, require_granting
from app.cli.options import json_logs_option
from app.cli.service import (
    environment,
    log_connections,
    look_at_redis,
    receiver_parts,
    receivers_option,
    worker_parts,
    workers_option,
)
from app.cli.service_settings import read_service_settings
from app.processes.disk_watch import DiskWatch
from app.processes.supervisor import ManagedProcess, do_nothing, supervise
from app.receiver.server import base_url_of, listen, url_of
from config.log import get_log
from config.settings import Settings
from workers.embedded.server import EmbeddedRedis

log = get_log(__name__)


@click.command("up")
@workers_option
@receivers_option
@json_logs_option
def up(workers: int, receivers: int, json: bool) -> None:
    """Run the receiver and the workers.

    If REDIS_URL is not set, it also runs an embedded, durable Redis. If CREDITS_API_TOKEN or
    CREDITS_DESK_TOKEN is set, it also runs `credits api`. A process that dies is started again. Ctrl-C
    finishes the work in progress and stops everything.

    Example: credits up --workers 2
    """
    settings = read_service_settings("up", json_logs=json)
    settings.require_secrets()
    rules = require_granting(settings)
    with listen(settings) as listener, _listen_for_api(settings) as api_listener:

        def stop_listening() -> None:
            listener.close()
            if api_listener:
                api_listener.close()

        def run(env: Mapping[str, str]) -> list[ManagedProcess]:
            return [
                *receiver_parts(listener, receivers, env),
                *worker_parts(settings, workers, env, on_fork=stop_listening),
                *([_api_part(api_listener, env)] if api_listener else []),
            ]

        log.info("listening", url=url_of(listener), receivers=receivers, workers=workers)
        if api_listener:
            _log_api(settings, api_listener)
        log_settings(settings, rules)
        log_connections(settings, receivers=receivers, workers=workers + 1, apis=int(bool(api_listener)))
        with _redis_for(settings) as (url, keep_running):
            look_at_redis(url, settings.redis_options)
            parts = run(environment(url, json=json))
            supervise(parts, on_poll=keep_running, on_stop=stop_listening)


@contextmanager
def _listen_for_api(settings: Settings) -> Iterator[socket.socket | None]:
    """Yield the API's socket; None if no token is set, because then nothing is served."""
    if not settings.serves_api:
        yield None
        return
    with listen_for_api(settings) as listener:
        yield listener


def _log_api(settings: Settings, listener: socket.socket) -> None:
    if settings.api_tokens:
        log.info("listening for the storefront", url=base_url_of(listener))
    if settings.desk_token:
        log.info("the desk is open", url=desk_url(listener))


@contextmanager
def _redis_for(settings: Settings) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the URL of Redis, and what keeps it running: nothing, unless it is the embedded one."""
    if settings.redis_url is not None:
        yield settings.redis_url.reveal(), do_nothing
        return
    with EmbeddedRedis(settings.data_dir) as embedded:
        log.info("embedded Redis", data_dir=str(settings.data_dir))
        yield embedded.url, partial(_keep_redis_running, embedded, DiskWatch(embedded.full_disk))


def _api_part(listener: socket.socket, env: Mapping[str, str]) -> ManagedProcess:
    args, shared = ["api", str(listener.fileno())], [listener.fileno()]
    return ManagedProcess(name="api", args=args, env=env, pass_fds=shared)


def _keep_redis_running(embedded: EmbeddedRedis, disk: DiskWatch) -> None:
    disk.check()
    embedded.ensure_guardian()
    for reason in embedded.read_server_deaths():
        log.error("embedded Redis died, starting again", reason=reason)
