"""``credits up``, ``serve``, ``work``: the service itself."""

import os
import socket
from collections.abc import Mapping
from typing import Annotated

import structlog
import typer

from app.cli.context import read_settings
from app.cli.options import JsonLogs
from app.main import create_app
from app.processes.supervisor import ManagedProcess, supervise
from app.processes.worker import run_worker
from app.receiver.server import listen, run_receiver, url_of
from config.durations import format_duration
from config.errors import ConfigError
from config.rules import Rules, load_rules
from config.settings import Settings, find_unknown_settings
from workers.embedded.server import EmbeddedRedis
from workers.operations.reconcile import NEEDS_CREDIT_FROM
from workers.store.connect import connect
from workers.store.server_check import redis_findings

log = structlog.get_logger(__name__)

Workers = Annotated[int, typer.Option("--workers", min=1, max=64, help="How many worker processes.")]
Receivers = Annotated[
    int, typer.Option("--receivers", min=1, max=64, help="How many receiver processes, all on one port.")
]


def up(workers: Workers = 1, receivers: Receivers = 1, json: JsonLogs = False) -> None:
    """Run receiver and workers, with Redis if need be.

    If REDIS_URL is unset, an embedded, durable Redis is started too. What dies is started again;
    Ctrl-C finishes what is under way and ends all.

    Example: credits up --workers 2
    """
    settings = read_settings("up", json_logs=json)
    settings.require_secrets()
    rules = _require_granting(settings)
    with listen(settings) as listener:

        def run(env: Mapping[str, str]) -> list[ManagedProcess]:
            return [*_receiver_parts(listener, receivers, env), *_worker_parts(settings, workers, env)]

        log.info("listening", url=url_of(listener), receivers=receivers, workers=workers)
        _tell_settings(settings, rules)
        if settings.redis_url is not None:
            url = settings.redis_url.get_secret_value()
            _warn_of_redis(url)
            supervise(run(_environment(url, json=json)), on_stop=listener.close)
            return
        with EmbeddedRedis(settings.data_dir) as embedded:
            log.info("embedded Redis", data_dir=str(settings.data_dir))
            parts = run(_environment(embedded.url, json=json))
            supervise(parts, on_poll=lambda: _tend(embedded), on_stop=listener.close)


def serve(receivers: Receivers = 1, json: JsonLogs = False) -> None:
    """Run the receiver alone, as in the Procfile. Needs REDIS_URL.

    Several share one port; what dies is started again.

    Example: credits serve --receivers 2
    """
    settings = read_settings("receiver", json_logs=json)
    app = create_app(settings)
    url = settings.require_redis_url()
    _warn_of_redis(url)
    with listen(settings) as listener:
        log.info("listening", url=url_of(listener), receivers=receivers)
        if receivers == 1:
            run_receiver(app, listener)
        else:
            parts = _receiver_parts(listener, receivers, _environment(url, json=json))
            supervise(parts, on_stop=listener.close)


def work(
    workers: Workers = 1,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is due.")] = False,
    json: JsonLogs = False,
) -> None:
    """Run workers alone, as in the Procfile. Needs REDIS_URL.

    Example: credits work --workers 2
    """
    settings = read_settings("worker", json_logs=json)
    url = settings.require_redis_url()
    rules = _require_granting(settings)
    if burst:
        run_worker(settings, burst=True)
        return
    _warn_of_redis(url)
    _tell_settings(settings, rules)
    supervise(_worker_parts(settings, workers, _environment(url, json=json)))


def _require_granting(settings: Settings) -> Rules:
    """Return the rules; fail now, in one line, rather than in every worker."""
    settings.require_token()
    rules = load_rules(settings.rules_path)
    if settings.reconcile_every and rules.credit_from is None:
        raise ConfigError(NEEDS_CREDIT_FROM)
    return rules


def _tell_settings(settings: Settings, rules: Rules) -> None:
    """Say what we work with: whoever goes live wants to read that it is production, and by which rules."""
    log.info(
        "working with",
        polar=settings.polar_server,
        rules=f"{len(rules.rules)} in {settings.rules_path}",
        version=rules.digest,
        alerts="on" if settings.alert_url else "off",
        reconciling=f"every {format_duration(every)}" if (every := settings.reconcile_every) else "off",
    )
    for words in find_unknown_settings():
        log.warning("a setting that nobody reads", setting=words)


def _receiver_parts(listener: socket.socket, count: int, env: Mapping[str, str]) -> list[ManagedProcess]:
    """Return receivers that share a socket: each connection goes to one that is free to take it."""
    args, shared = ["receiver", str(listener.fileno())], [listener.fileno()]
    return [
        ManagedProcess(name=f"receiver {i + 1}", args=args, env=env, pass_fds=shared) for i in range(count)
    ]


def _worker_parts(settings: Settings, count: int, env: Mapping[str, str]) -> list[ManagedProcess]:
    workers = [ManagedProcess(name=f"worker {i + 1}", args=["worker"], env=env) for i in range(count)]
    reconciler = ManagedProcess(name="reconciler", args=["reconciler"], env=env)
    return [*workers, reconciler] if settings.reconcile_every else workers


def _environment(redis_url: str, *, json: bool) -> dict[str, str]:
    return {**os.environ, "REDIS_URL": redis_url, **({"LOG_FORMAT": "json"} if json else {})}


def _tend(embedded: EmbeddedRedis) -> None:
    embedded.ensure_guardian()
    for words in embedded.read_server_deaths():
        log.error("embedded Redis died, starting again", reason=words)


def _warn_of_redis(url: str) -> None:
    with connect(url) as redis:
        for found in redis_findings(redis):
            tell = log.error if found.level == "error" else log.warning
            tell("Redis needs a look", fault=found.detail)
