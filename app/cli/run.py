"""``credits up``, ``serve``, ``work``: the service itself."""

import os
from collections.abc import Mapping
from typing import Annotated

import structlog
import typer

from app.cli.root import JsonLogs, root, settings_for
from app.main import create_app
from app.parts import run_worker
from app.receiver import listen, run_receiver, url_of
from app.supervisor import Part, supervise
from config.errors import ConfigError
from config.rules import load_rules
from config.settings import Settings
from workers.embedded import EmbeddedRedis
from workers.reconciling import NEEDS_CREDIT_FROM
from workers.redis_check import redis_findings
from workers.runtime import connect, require_redis_url, require_secrets, require_token

log = structlog.get_logger(__name__)

Workers = Annotated[int, typer.Option("--workers", min=1, max=64, help="How many worker processes.")]


@root.command()
def up(workers: Workers = 1, json: JsonLogs = False) -> None:
    """Run receiver and workers, with Redis if need be.

    If REDIS_URL is unset, an embedded, durable Redis is started too. What dies is started again;
    Ctrl-C finishes what is under way and ends all.

    Example: credits up --workers 2
    """
    settings = settings_for("up", json_logs=json)
    require_secrets(settings)
    _require_granting(settings)
    with listen(settings) as listener:
        parts = ["receiver", str(listener.fileno())]

        def run(env: Mapping[str, str]) -> list[Part]:
            receiver = Part(name="receiver", args=parts, env=env, pass_fds=[listener.fileno()])
            return [receiver, *_worker_parts(settings, workers, env)]

        log.info("listening", url=url_of(listener), workers=workers)
        if settings.redis_url is not None:
            _warn_of_redis(settings.redis_url.get_secret_value())
            supervise(run(_environment(settings.redis_url.get_secret_value(), json=json)))
            return
        with EmbeddedRedis(settings.data_dir) as embedded:
            log.info("embedded Redis", data_dir=str(settings.data_dir))
            supervise(run(_environment(embedded.url, json=json)), embedded.ensure)


@root.command()
def serve(json: JsonLogs = False) -> None:
    """Run the receiver alone, as in the Procfile. Needs REDIS_URL.

    Example: credits serve
    """
    settings = settings_for("receiver", json_logs=json)
    app = create_app(settings)
    _warn_of_redis(require_redis_url(settings))
    with listen(settings) as listener:
        log.info("listening", url=url_of(listener))
        run_receiver(app, listener)


@root.command()
def work(
    workers: Workers = 1,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is due.")] = False,
    json: JsonLogs = False,
) -> None:
    """Run workers alone, as in the Procfile. Needs REDIS_URL.

    Example: credits work --workers 2
    """
    settings = settings_for("worker", json_logs=json)
    url = require_redis_url(settings)
    _require_granting(settings)
    if burst:
        run_worker(settings, burst=True)
        return
    _warn_of_redis(url)
    supervise(_worker_parts(settings, workers, _environment(url, json=json)))


def _require_granting(settings: Settings) -> None:
    """Fail now, in one line, rather than in every worker."""
    require_token(settings)
    rules = load_rules(settings.rules_path)
    if settings.reconcile_every and rules.credit_from is None:
        raise ConfigError(NEEDS_CREDIT_FROM)


def _worker_parts(settings: Settings, count: int, env: Mapping[str, str]) -> list[Part]:
    workers = [Part(name=f"worker {i + 1}", args=["worker"], env=env) for i in range(count)]
    reconciler = Part(name="reconciler", args=["reconciler"], env=env)
    return [*workers, reconciler] if settings.reconcile_every else workers


def _environment(redis_url: str, *, json: bool) -> dict[str, str]:
    return {**os.environ, "REDIS_URL": redis_url, **({"LOG_FORMAT": "json"} if json else {})}


def _warn_of_redis(url: str) -> None:
    with connect(url) as redis:
        for found in redis_findings(redis):
            tell = log.error if found.level == "error" else log.warning
            tell("Redis needs a look", fault=found.detail)
