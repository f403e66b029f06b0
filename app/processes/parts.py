"""One process: ``python -m app.processes.parts``, then ``receiver FD``, ``worker`` or ``reconciler``."""

import gc
import os
import signal
import socket
import sys
import threading
import warnings

import structlog
from redis.exceptions import RedisError

from app.main import create_app
from app.receiver.server import run_receiver
from config.errors import ConfigError
from config.settings import Settings, load_settings, require_redis_url
from workers.monitoring.logs import configure_logging
from workers.pipeline.work_loop import work_in_a_burst, work_until_told
from workers.pipeline.worker import GrantWorker
from workers.runtime import reconciler_for, worker_for
from workers.store.connect import connect

log = structlog.get_logger(__name__)


def run_worker(settings: Settings, *, burst: bool = False) -> None:
    """Work on RQ's jobs until told to stop; ``burst``: until nothing is due."""
    url = require_redis_url(settings)

    def build() -> GrantWorker:
        with connect(url) as redis:
            redis.ping()  # first: the rest is not for nothing then, at each try of an outage
        with warnings.catch_warnings(action="ignore"):  # RQ's, where a dashboard will miss our address
            worker = worker_for(settings, url)
        gc.freeze()  # what is here now stays: not to be looked through again and again in a burst
        return worker

    (work_in_a_burst if burst else work_until_told)(build)


def _end_with_parent() -> None:
    """Stop as if told to when the supervisor is gone: its end of our standard input closes."""

    def watch() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _run(name: str, args: list[str]) -> None:
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level, process=name)
    _end_with_parent()
    match name:
        case "receiver":
            run_receiver(create_app(settings), socket.socket(fileno=int(args[0])))
        case "worker":
            run_worker(settings)
        case "reconciler":
            # Told to stop it ends at once: what it has begun is stored, and a worker goes on with it.
            reconciler_for(settings, require_redis_url(settings)).work()
        case _:
            sys.exit(f"no part {name!r}: there are receiver, worker and reconciler")


if __name__ == "__main__":
    try:
        _run(sys.argv[1], sys.argv[2:])
    except (ConfigError, RedisError) as error:
        log.error("cannot start", reason=str(error))  # noqa: TRY400 - a user can mend it without a traceback
        sys.exit(1)
