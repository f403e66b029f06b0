"""The receiver's own process: its listening socket, and uvicorn on it."""

import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from app.receiver.connections import Connection, raise_file_limit
from config.errors import ConfigError
from config.settings import Settings

_BACKLOG = 2048  # connections that wait while a receiver is started again
_GRACE_SECONDS = 16  # for requests under way when told to stop; none takes so long


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


def serving(app: ASGIApp) -> uvicorn.Config:
    """Return how uvicorn serves ``app``."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",  # a web socket would be a connection that no deadline ends
        proxy_headers=False,  # nobody asks whose a request is: so nobody has to read what it says of that
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def run_receiver(app: ASGIApp, listener: socket.socket) -> None:
    """Serve ``app`` until SIGINT or SIGTERM."""
    raise_file_limit()
    with suppress(KeyboardInterrupt):  # uvicorn has stopped in good order, and passes it on
        uvicorn.Server(serving(app)).run(sockets=[listener])
