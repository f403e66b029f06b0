"""Serves the receiver: the listening socket, and uvicorn on it."""

import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from app.receiver.connections import Connection, raise_file_limit
from config.errors import ConfigError
from config.settings import Settings

_BACKLOG = 2048  # connections that can wait while a receiver restarts
_GRACE_SECONDS = 16  # for unfinished requests when the receiver stops; none takes that long


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket; ConfigError if the address is taken or is not this machine's."""
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
            "stop the process that listens there, or set PORT (and HOST)"
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL to which webhooks are sent."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/webhooks/polar" if ":" in host else f"http://{host}:{port}/webhooks/polar"


def server_config(app: ASGIApp) -> uvicorn.Config:
    """Return the configuration with which uvicorn serves ``app``."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",  # no deadline would end a web socket
        proxy_headers=False,  # the client's address, which a proxy's headers give, is not used
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def run_receiver(app: ASGIApp, listener: socket.socket) -> None:
    """Serve ``app`` until SIGINT or SIGTERM."""
    raise_file_limit()
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has stopped cleanly
        uvicorn.Server(server_config(app)).run(sockets=[listener])
