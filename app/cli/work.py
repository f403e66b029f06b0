"""``credits work``: runs the workers alone."""

from contextlib import suppress

import click
from redis.exceptions import RedisError

from app.cli.granting import log_settings, require_granting
from app.cli.options import json_logs_option
from app.cli.service import (
    environment,
    log_connections,
    look_at_redis,
    refuse_wrong_kind,
    worker_parts,
    workers_option,
)
from app.cli.service_settings import read_service_settings
from app.processes.supervisor import supervise
from app.processes.worker import run_worker
from workers.store.connect import connect
from workers.store.format import require_known


@click.command("work")
@workers_option
@click.option("--burst", is_flag=True, help="Stop when nothing is due.")
@json_logs_option
def work(workers: int, burst: bool, json: bool) -> None:
    """Run the workers alone. Needs REDIS_URL.

    Example: credits work --workers 2
    """
    settings = read_service_settings("worker", json_logs=json)
    url = settings.require_redis_url()
    rules = require_granting(settings)
    with connect(url, settings.redis_options) as redis:
        refuse_wrong_kind(redis)
        with suppress(RedisError, OSError):  # the workers wait for it
            require_known(redis)
    if burst:
        run_worker(settings, burst=True)
        return
    look_at_redis(url, settings.redis_options)
    log_settings(settings, rules)
    log_connections(settings, workers=workers + 1)
    supervise(worker_parts(settings, workers, environment(url, json=json)))
