"""``credits up``, ``serve``, ``api`` and ``work``: run the service."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Annotated

import structlog
import typer
from redis import Redis
from redis.exceptions import RedisError

from app.api.server import listen_for_api, run_api
from app.api_main import create_api
from app.cli.context import read_receiver_settings, read_settings
from app.cli.options import JsonLogs
from app.main import create_app
from app.processes.disk_watch import DiskWatch
from app.processes.supervisor import ManagedProcess, supervise
from app.processes.worker import run_worker
from app.receiver.server import base_url_of, listen, run_receiver, url_of
from config.durations import format_duration
from config.errors import ConfigError
from config.redis_urls import RedisOptions
from config.rules import Rules, load_rules
from config.setting_names import find_unknown_settings
from config.settings import ReceiverSettings, Settings
from workers.embedded.server import EmbeddedRedis
from workers.operations.disputes import wants_disputes
from workers.operations.reconcile import NEEDS_CREDIT_FROM
from workers.runtime import polar_for
from workers.store.connect import connect, most_connections
from workers.store.format import format_findings, require_known
from workers.store.server_check import find_wrong_kind, redis_findings, tls_findings

log = structlog.get_logger(__name__)

Workers = Annotated[int, typer.Option("--workers", min=1, max=64, help="Number of worker processes.")]
Receivers = Annotated[
    int, typer.Option("--receivers", min=1, max=64, help="Number of receiver processes, all on one port.")
]


def up(workers: Workers = 1, receivers: Receivers = 1, json: JsonLogs = False) -> None:
    """Run the receiver and the workers.

    If REDIS_URL is not set, it also runs an embedded, durable Redis. If CREDITS_API_TOKEN or
    CREDITS_DESK_TOKEN is set, it also runs `credits api`. A process that dies is started again. Ctrl-C
    finishes the work in progress and stops everything.

    Example: credits up --workers 2
    """
    settings = read_settings("up", json_logs=json)
    settings.require_secrets()
    rules = _require_granting(settings)
    with listen(settings) as listener, _listen_for_api(settings) as api_listener:

        def run(env: Mapping[str, str]) -> list[ManagedProcess]:
            parts = [*_receiver_parts(listener, receivers, env), *_worker_parts(settings, workers, env)]
            return parts + ([_api_part(api_listener, env)] if api_listener else [])

        def stop_listening() -> None:
            listener.close()
            if api_listener:
                api_listener.close()

        log.info("listening", url=url_of(listener), receivers=receivers, workers=workers)
        if api_listener:
            if settings.api_tokens:
                log.info("listening for the storefront", url=base_url_of(api_listener))
            _log_desk(settings, api_listener)
        _log_settings(settings, rules)
        _log_connections(settings, receivers=receivers, workers=workers + 1, apis=int(bool(api_listener)))
        if settings.redis_url is not None:
            url = settings.redis_url.get_secret_value()
            _look_at_redis(url, settings.redis_options)
            supervise(run(_environment(url, json=json)), on_stop=stop_listening)
            return
        with EmbeddedRedis(settings.data_dir) as embedded:
            log.info("embedded Redis", data_dir=str(settings.data_dir))
            _look_at_redis(embedded.url, settings.redis_options)
            parts = run(_environment(embedded.url, json=json))
            keep = partial(_keep_redis_running, embedded, DiskWatch(embedded.full_disk))
            supervise(parts, on_poll=keep, on_stop=stop_listening)


def serve(receivers: Receivers = 1, json: JsonLogs = False) -> None:
    """Run the receiver alone. Needs REDIS_URL.

    Several receivers share one port. A receiver that dies is started again.

    Example: credits serve --receivers 2
    """
    settings = read_receiver_settings(json_logs=json)
    app = create_app(settings)
    url = settings.require_redis_url()
    _look_at_redis(url, settings.redis_options)
    with listen(settings) as listener:
        log.info("listening", url=url_of(listener), receivers=receivers)
        _log_connections(settings, receivers=receivers)
        if receivers == 1:
            run_receiver(app, listener)
        else:
            parts = _receiver_parts(listener, receivers, _environment(url, json=json))
            supervise(parts, on_stop=listener.close)


def api(json: JsonLogs = False) -> None:
    """Run the storefront API and the desk alone. Needs REDIS_URL.

    Serves the storefront API if CREDITS_API_TOKEN is set, and the operators' pages under /desk if
    CREDITS_DESK_TOKEN is.

    Example: credits api
    """
    settings = read_settings("api", json_logs=json)
    application = create_api(settings)
    _look_at_redis(settings.require_redis_url(), settings.redis_options)
    with listen_for_api(settings) as listener:
        log.info("listening", url=base_url_of(listener))
        _log_desk(settings, listener)
        _log_connections(settings, apis=1)
        run_api(application, listener)


def work(
    workers: Workers = 1,
    burst: Annotated[bool, typer.Option("--burst", help="Stop when nothing is due.")] = False,
    json: JsonLogs = False,
) -> None:
    """Run the workers alone. Needs REDIS_URL.

    Example: credits work --workers 2
    """
    settings = read_settings("worker", json_logs=json)
    url = settings.require_redis_url()
    rules = _require_granting(settings)
    with connect(url, settings.redis_options) as redis:
        _refuse_wrong_kind(redis)
        with suppress(RedisError, OSError):  # the workers wait for it
            require_known(redis)
    if burst:
        run_worker(settings, burst=True)
        return
    _look_at_redis(url, settings.redis_options)
    _log_settings(settings, rules)
    _log_connections(settings, workers=workers + 1)
    supervise(_worker_parts(settings, workers, _environment(url, json=json)))


def _require_granting(settings: Settings) -> Rules:
    """Return the rules; report a missing setting here, in one line, rather than in every worker."""
    polar_for(settings).close()  # it cannot be made without a token, or with a proxy that cannot be used
    rules = load_rules(settings.rules_path)
    is_set = settings.reconcile_every(has_credit_from=False) is not None
    if is_set and rules.credit_from is None and not wants_disputes(rules):
        raise ConfigError(NEEDS_CREDIT_FROM)
    return rules


def _log_settings(settings: Settings, rules: Rules) -> None:
    """Log which Polar and which rules are used, so that an operator can check them at the start."""
    every = settings.reconcile_every(has_credit_from=rules.credit_from is not None)
    log.info(
        "working with",
        polar=settings.polar_server,
        rules=f"{len(rules.rules)} in {settings.rules_path}",
        version=rules.digest,
        alerts="on" if settings.alert_url else "off",
        events="on" if settings.events_url else "off",
        reconciling=f"every {format_duration(every)}" if every else "off",
    )
    for unknown in find_unknown_settings():
        log.warning("unknown setting", setting=unknown)


def _log_connections(
    settings: ReceiverSettings, *, receivers: int = 0, workers: int = 0, apis: int = 0
) -> None:
    """Log how many connections to Redis are opened at most: some plans allow only 20."""
    options = settings.redis_options
    senders = int(workers > 0 and isinstance(settings, Settings) and settings.events_url is not None)
    at_most = most_connections(options, receivers=receivers, workers=workers, apis=apis, senders=senders)
    log.info("connections to Redis", at_most=at_most)


def _receiver_parts(listener: socket.socket, count: int, env: Mapping[str, str]) -> list[ManagedProcess]:
    """Return receivers that share a socket; each connection goes to one that is free."""
    args, shared = ["receiver", str(listener.fileno())], [listener.fileno()]
    return [
        ManagedProcess(name=f"receiver {i + 1}", args=args, env=env, pass_fds=shared) for i in range(count)
    ]


@contextmanager
def _listen_for_api(settings: Settings) -> Iterator[socket.socket | None]:
    """Yield the API's socket; None if no token is set, because then nothing is served."""
    if not settings.serves_api:
        yield None
        return
    with listen_for_api(settings) as listener:
        yield listener


def _log_desk(settings: Settings, listener: socket.socket) -> None:
    if settings.desk_token:
        log.info("the desk is open", url=f"{base_url_of(listener)}/desk")


def _api_part(listener: socket.socket, env: Mapping[str, str]) -> ManagedProcess:
    args, shared = ["api", str(listener.fileno())], [listener.fileno()]
    return ManagedProcess(name="api", args=args, env=env, pass_fds=shared)


def _worker_parts(settings: Settings, count: int, env: Mapping[str, str]) -> list[ManagedProcess]:
    workers = [ManagedProcess(name=f"worker {i + 1}", args=["worker"], env=env) for i in range(count)]
    beside = ["background", *(["events"] if settings.events_url else [])]
    return workers + [ManagedProcess(name=name, args=[name], env=env) for name in beside]


def _environment(redis_url: str, *, json: bool) -> dict[str, str]:
    return {**os.environ, "REDIS_URL": redis_url, **({"LOG_FORMAT": "json"} if json else {})}


def _keep_redis_running(embedded: EmbeddedRedis, disk: DiskWatch) -> None:
    disk.check()
    embedded.ensure_guardian()
    for reason in embedded.read_server_deaths():
        log.error("embedded Redis died, starting again", reason=reason)


def _look_at_redis(url: str, options: RedisOptions) -> None:
    """Log what is wrong with Redis; ConfigError if a server of its kind cannot be used at all."""
    with connect(url, options) as redis:
        _refuse_wrong_kind(redis)
        findings = [*tls_findings(url, options), *redis_findings(redis)]
        with suppress(RedisError, OSError):  # the findings say that it is away
            findings += format_findings(redis)
    for found in findings:
        if found.level != "ok":
            log_finding = log.error if found.level == "error" else log.warning
            log_finding("Redis needs attention", fault=found.detail)


def _refuse_wrong_kind(redis: Redis) -> None:
    if reason := find_wrong_kind(redis):
        raise ConfigError(f"REDIS_URL: {reason}")
