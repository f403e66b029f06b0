"""An HTTP transport with one deadline for a whole request.

The timeouts of httpx start again with each piece that arrives, so a server that drips its answer could hold
a request for ever. Here each timeout is cut to what is left until the deadline: while the transport connects,
secures the connection, sends, and reads the headers and the body.
"""

import math
import socket
import ssl
import time
from collections.abc import Iterable
from contextvars import ContextVar
from threading import Lock
from typing import Any

import httpcore
import httpx

from config.network import find_proxy, require_usable_network, ssl_context

_KEEPALIVE_SECONDS = 5.0  # a server may have closed a connection that was idle for longer
_WRITE_BYTES = 16384  # sent at once, between two looks at the clock; a record of TLS has this size

_ERRORS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)

# When the request that this thread makes must be over, by the monotonic clock.
_deadline: ContextVar[float] = ContextVar("deadline")


class DeadlineTransport(httpx.BaseTransport):
    """Sends requests to the server at ``url``, each within ``seconds``.

    Reads whole answers, or with ``most_bytes`` no more than that of an endless one, and a little.
    A DNS lookup cannot be interrupted, but its time counts. Respects the proxy and the certificates that the
    environment names; ConfigError if they cannot be used.
    """

    def __init__(self, url: str, *, seconds: float, most_bytes: float = math.inf) -> None:
        require_usable_network(url)
        self._url = url
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._opening = Lock()
        self._opened: httpcore.ConnectionPool | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and return its response with its body."""
        deadline = time.monotonic() + self._seconds
        before = _deadline.set(deadline)
        try:
            response = self._pool().handle_request(_core_request(request))
            try:
                body = self._read(response)
            finally:
                response.close()
        except _ERRORS as error:
            late = isinstance(error, httpcore.TimeoutException) and time.monotonic() >= deadline
            text = f"the request took longer than {self._seconds:g} s" if late else str(error)
            # httpx has the same errors by the same names.
            raise getattr(httpx, type(error).__name__)(text) from error
        finally:
            _deadline.reset(before)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=httpx.ByteStream(body),
            extensions=response.extensions,
        )

    def _read(self, response: httpcore.Response) -> bytes:
        pieces, size = [], 0
        for piece in response.iter_stream():
            pieces.append(piece)
            size += len(piece)
            if size > self._most_bytes:
                break
        return b"".join(pieces)

    def close(self) -> None:
        """Close the connections."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()

    def _pool(self) -> httpcore.ConnectionPool:
        """Return the connections. The first request makes them: to read the usual CAs takes a while."""
        with self._opening:
            if self._opened is None:
                self._opened = httpcore.ConnectionPool(
                    ssl_context=ssl_context(),
                    proxy=_proxy_for(self._url),
                    keepalive_expiry=_KEEPALIVE_SECONDS,
                    network_backend=_DeadlineBackend(),
                )
            return self._opened


class _DeadlineBackend(httpcore.NetworkBackend):
    """Connects within the deadline, however many addresses a host has."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in _addresses(host, port):
            cut = _cut(timeout, httpcore.ConnectTimeout)
            try:
                stream = self._backend.connect_tcp(address, port, cut, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream)
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose every operation ends by the deadline of the request that it is for."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._stream.write(buffer[start : start + _WRITE_BYTES], _cut(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            cut = _cut(timeout, httpcore.ConnectTimeout)
        except httpcore.ConnectTimeout:
            self.close()  # httpcore leaves that to whoever starts TLS, as its own stream does it
            raise
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, cut))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


def _cut(timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
    """Return the timeout, but no more than what is left until the deadline; ``late`` if nothing is left."""
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise late
    return left if timeout is None else min(timeout, left)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return [str(address[0]) for *_, address in found]


def _core_request(request: httpx.Request) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _proxy_for(url: str) -> httpcore.Proxy | None:
    given = find_proxy(url)
    if given is None:
        return None
    proxy = httpx.Proxy(given)
    return httpcore.Proxy(str(proxy.url), auth=proxy.raw_auth, headers=proxy.headers.raw)
