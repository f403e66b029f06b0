"""Serves the receiver: the listening socket, and uvicorn on it."""

import errno
import gc
import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from app.receiver.connections import Connection
from app.receiver.crowd_limits import raise_file_limit
from config.errors import ConfigError
from config.settings import ReceiverSettings

_BACKLOG = 2048  # connections that can wait while a receiver restarts
# A few dozen webhooks that wait for Redis need more than Python's 2,000. Almost no object is garbage.
_OBJECTS_BETWEEN_COLLECTIONS = 20_000
_GRACE_SECONDS = 16  # for unfinished requests when the receiver stops; none takes that long


def listen(settings: ReceiverSettings) -> socket.socket:
    """Return the receiver's socket; ConfigError if the address is taken or is not this machine's."""
    return open_socket(settings.host, settings.port, "PORT")


def open_socket(host: str, port: int, port_setting: str) -> socket.socket:
    """Return a listening socket; ConfigError, naming the setting, if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have such a name
        listener.close()
        raise ConfigError(f"cannot listen on {host}:{port}: {_listen_problem(error, port_setting)}") from None
    return listener


def _listen_problem(error: OSError | UnicodeError, port_setting: str) -> str:
    if isinstance(error, UnicodeError | socket.gaierror):
        return "HOST is neither an address nor a name of this machine; write 127.0.0.1, 0.0.0.0 or ::"
    if error.errno == errno.EADDRNOTAVAIL:
        return "HOST is not an address of this machine; write 127.0.0.1, 0.0.0.0 or ::"
    if error.errno == errno.EACCES:
        return f"only root may use this port; set {port_setting} to 1024 or more"
    return f"{error.strerror}; stop the process that listens there, or set {port_setting}"


def url_of(listener: socket.socket) -> str:
    """Return the URL to which webhooks are sent."""
    host, port = listener.getsockname()[:2]
    return webhook_url(host, port)


def base_url_of(listener: socket.socket) -> str:
    """Return the URL at which a socket listens, without a path."""
    host, port = listener.getsockname()[:2]
    return _base_url(host, port)


def webhook_url(host: str, port: int) -> str:
    """Return the URL of the webhook endpoint on a host: a name, an IPv4 address or an IPv6 address."""
    return f"{_base_url(host, port)}/webhooks/polar"


def _base_url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def server_config(app: ASGIApp, http: type[Connection] = Connection) -> uvicorn.Config:
    """Return the configuration with which uvicorn serves ``app``, on connections of the type ``http``."""
    return uvicorn.Config(
        app,
        http=http,
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
    gc.freeze()  # all that is loaded now stays loaded, so no collection needs to scan it
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has stopped cleanly
        uvicorn.Server(server_config(app)).run(sockets=[listener])
