"""Runs a part of the service in this process: receiver, API, worker, background tasks or credit events."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from config.errors import ConfigError
from config.log import get_log
from config.settings import AnySettings, load_receiver_settings, load_settings
from workers.monitoring.logs import configure_logging
from workers.store.format import UnknownFormatError
from workers.timings import DEFAULT_TIMINGS, Timings

log = get_log(__name__)

REFUSED = os.EX_CONFIG
"""The exit status of a process that is not to be started again soon: it would refuse again."""


def _run(kind: str, args: Sequence[str], timings: Timings) -> None:
    _stop_with_supervisor()
    # Each kind imports only what it needs: the receiver must load neither rules nor CEL nor Polar's client.
    match kind:
        case "receiver":
            from app.main import create_app  # noqa: PLC0415
            from app.receiver.server import run_receiver  # noqa: PLC0415

            app = create_app(_read(load_receiver_settings, kind), timings)
            run_receiver(app, socket.socket(fileno=int(args[0])))
        case "api":
            from app.api.server import run_api  # noqa: PLC0415
            from app.api_main import create_api  # noqa: PLC0415

            run_api(create_api(_read(load_settings, kind), timings), socket.socket(fileno=int(args[0])))
        case "worker":
            from app.processes.worker import run_worker  # noqa: PLC0415

            run_worker(_read(load_settings, kind), timings=timings)
        case "background":
            from app.processes.background import run_background  # noqa: PLC0415

            run_background(_read(load_settings, kind), timings)
        case "events":
            from app.processes.events import run_events  # noqa: PLC0415

            run_events(_read(load_settings, kind), timings)
        case _:
            sys.exit(f"unknown process {kind!r}: choose receiver, api, worker, background or events")


def _read(load: Callable[[], AnySettings], kind: str) -> AnySettings:
    settings = load()
    configure_logging(settings.log_format, settings.log_level, process=kind)
    return settings


def _stop_with_supervisor() -> None:
    """Send this process SIGTERM once the supervisor is gone, because then our standard input closes."""

    def watch() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def run_part(args: Sequence[str], timings: Timings = DEFAULT_TIMINGS) -> None:
    """Run ``receiver FD``, ``api FD``, ``worker``, ``background`` or ``events``.

    If it cannot start, it logs one line, and its status is 1, or ``REFUSED`` if only another version can.
    """
    kind, *others = args
    try:
        _run(kind, others, timings)
    except (ConfigError, RedisError) as error:
        log.error("cannot start", reason=str(error))  # noqa: TRY400 - a user can fix it without a traceback
        sys.exit(REFUSED if isinstance(error, UnknownFormatError) else 1)
