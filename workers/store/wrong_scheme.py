"""Finds out whether a server wants TLS or none: some servers do not say so, but wait for more."""

import socket
import ssl
from contextlib import suppress

from redis import Redis, SSLConnection

_SECONDS = 1.0


def find_wrong_scheme(client: Redis) -> str | None:
    """Return what to write in REDIS_URL if only one of the server and the URL is for TLS, else None.

    Takes up to a second if the server does not answer. The server gets no password.
    """
    pool = client.connection_pool
    if "host" not in pool.connection_kwargs:
        return None
    if "port" not in pool.connection_kwargs:  # a socket, or sentinels, whose errors are described already
        return None
    address = pool.connection_kwargs["host"], pool.connection_kwargs["port"]
    if issubclass(pool.connection_class, SSLConnection):
        return (
            "it does not speak TLS (write redis:// in REDIS_URL, not rediss://)"
            if _answers_without_tls(address)
            else None
        )
    return "it speaks TLS (write rediss:// in REDIS_URL, not redis://)" if _speaks_tls(address) else None


def _answers_without_tls(address: tuple[str, int]) -> bool:
    with suppress(OSError), socket.create_connection(address, _SECONDS) as wire:
        wire.sendall(b"PING\r\n")
        return wire.recv(1) in (b"+", b"-")
    return False


def _speaks_tls(address: tuple[str, int]) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing secret is sent
    with suppress(OSError), socket.create_connection(address, _SECONDS) as wire, context.wrap_socket(wire):
        return True
    return False
