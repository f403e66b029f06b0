"""The processes that a supervisor runs: ``python -m app.parts receiver FD`` and ``... worker``."""

import os
import signal
import socket
import sys
import threading
from contextlib import suppress

import structlog
import uvicorn
from redis.exceptions import RedisError
from starlette.applications import Starlette

from app.main import create_app
from config.errors import ConfigError
from config.settings import Settings, load_settings
from workers.logs import configure_logging
from workers.runtime import require_redis_url, worker_for

log = structlog.get_logger(__name__)

_BACKLOG = 2048  # connections that wait while a receiver is started again
_GRACE_SECONDS = 10  # for requests under way when told to stop


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket; ConfigError if the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "end what listens there, or set PORT (and HOST)"
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return where webhooks go."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/webhooks/polar" if ":" in host else f"http://{host}:{port}/webhooks/polar"


def run_receiver(app: Starlette, listener: socket.socket) -> None:
    """Serve ``app`` until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        http="h11",  # it bounds a request's headers; httptools takes whatever a stranger sends
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    with suppress(KeyboardInterrupt):  # uvicorn has stopped in good order, and passes it on
        uvicorn.Server(config).run(sockets=[listener])


def run_worker(settings: Settings, *, burst: bool = False) -> None:
    """Work on RQ's jobs until told to stop; ``burst``: until nothing is due."""
    worker = worker_for(settings, require_redis_url(settings))
    level = "DEBUG" if settings.log_level == "debug" else "WARNING"
    worker.work(burst=burst, logging_level=level)
    while burst and worker.has_more():
        worker.work(burst=True, logging_level=level)


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
    if name == "receiver":
        run_receiver(create_app(settings), socket.socket(fileno=int(args[0])))
    else:
        run_worker(settings)


if __name__ == "__main__":
    try:
        _run(sys.argv[1], sys.argv[2:])
    except (ConfigError, RedisError) as error:
        log.error("cannot start", reason=str(error))  # noqa: TRY400 - a user can mend it without a traceback
        sys.exit(1)
