"""Serves the storefront API: its socket, and uvicorn on it."""

import os
import socket
from contextlib import suppress
from typing import ClassVar

import uvicorn

from app.api.application import Api
from app.api.orders import LONGEST_WAIT_SECONDS, MOST_WAITING
from app.receiver.connections import Connection
from app.receiver.crowd_limits import raise_file_limit
from app.receiver.server import base_url_of, open_socket, server_config
from config.settings import Settings

# Where the processor is busy, receiver and workers go first: a webhook is not late because of the API.
_NICE = 10


def listen_for_api(settings: Settings) -> socket.socket:
    """Return the API's socket; ConfigError if the address is taken or is not this machine's."""
    return open_socket(settings.host, settings.api_port, "CREDITS_API_PORT")


def desk_url(listener: socket.socket) -> str:
    """Return the URL of the desk behind the API's socket."""
    return f"{base_url_of(listener)}/desk"


class HoldingConnection(Connection):
    """A connection on which an answer may be held until something is settled."""

    held_seconds: ClassVar[float] = LONGEST_WAIT_SECONDS
    most_held: ClassVar[int] = MOST_WAITING


def api_config(api: Api) -> uvicorn.Config:
    """Return the configuration with which uvicorn serves the API."""
    return server_config(api, HoldingConnection)


class _Server(uvicorn.Server):
    """Answers held requests first when it stops, so that it need not wait for them."""

    def __init__(self, api: Api) -> None:
        super().__init__(api_config(api))
        self._api = api

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        self._api.end_waits()
        await super().shutdown(sockets)


def run_api(api: Api, listener: socket.socket) -> None:
    """Serve ``api`` until SIGINT or SIGTERM."""
    raise_file_limit()
    os.nice(_NICE)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has stopped cleanly
        _Server(api).run(sockets=[listener])
