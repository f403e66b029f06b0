"""A request to Polar ends by its deadline, however slowly each of its phases drips.

Each piece arrives well before the timeout of its phase, so that only the deadline can end the request.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest

from tests.support.paths import CERTIFICATES
from workers.errors import PolarUnreachableError
from workers.polar.client import Polar
from workers.timings import Timings

HASTY = Timings(
    polar_connect_seconds=0.9,
    polar_write_seconds=0.9,
    polar_read_seconds=0.9,
    polar_pool_seconds=0.9,
    polar_request_seconds=1.0,
)
LATEST = 3.0  # the deadline, with patience for a slow machine
DRIP_SECONDS = 0.1
DRIPS = 80  # eight seconds: far beyond the latest end

EVENT = {"name": "api_usage", "metadata": {"units": -10}}
SUCCESS = b'{"inserted": 1, "duplicates": 0}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(SUCCESS)

Behaviour = Callable[[socket.socket], None]


def drip(connection: socket.socket, piece: bytes) -> None:
    """Send the same piece again and again."""
    for _ in range(DRIPS):
        connection.sendall(piece)
        time.sleep(DRIP_SECONDS)


def answer(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(HEAD + LENGTH + SUCCESS)


def drip_headers(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(HEAD + b"X-Slow: ")
    drip(connection, b"a")
    connection.sendall(b"\r\n" + LENGTH + SUCCESS)


def drip_informational_answers(connection: socket.socket) -> None:
    connection.recv(65536)
    drip(connection, b"HTTP/1.1 103 Early Hints\r\n\r\n")
    connection.sendall(HEAD + LENGTH + SUCCESS)


def drip_body(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    drip(connection, b"1\r\n \r\n")
    connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(SUCCESS), SUCCESS))


def drip_handshake(connection: socket.socket) -> None:
    """Begin a TLS record of 4,096 bytes that never ends."""
    connection.recv(65536)
    connection.sendall(b"\x16\x03\x03\x10\x00")
    drip(connection, b"\x02")


def read_slowly(connection: socket.socket) -> None:
    """Take 2.6 megabytes a second, so that each piece is sent in time."""
    while connection.recv(65536):
        time.sleep(0.025)


def drip_tunnel(connection: socket.socket) -> None:
    """Answer a proxy's CONNECT without end."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 Connection established\r\nX-Slow: ")
    drip(connection, b"a")


def drip_handshake_in_a_tunnel(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    drip_handshake(connection)


def drip_headers_in_tls(connection: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    with context.wrap_socket(connection, server_side=True) as secured:
        drip_headers(secured)


def drip_headers_in_a_tunnel(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    drip_headers_in_tls(connection)


@contextmanager
def serving(behave: Behaviour) -> Iterator[int]:
    """Serve one connection while the block runs; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # the client hangs up, as it should
                connection, _ = listener.accept()
                with connection:
                    behave(connection)

        server = threading.Thread(target=serve)
        server.start()
        yield listener.getsockname()[1]
    server.join()


def assert_gives_up_in_time(url: str, events: list[dict[str, Any]]) -> None:
    threads, started = threading.active_count(), time.monotonic()
    with (
        closing(Polar(url=url, token="token", timings=HASTY)) as polar,
        pytest.raises(PolarUnreachableError, match=r"took longer than 1 s|timed out"),
    ):
        polar.ingest(events)
    assert 0.5 < time.monotonic() - started < LATEST
    assert threading.active_count() <= threads


@pytest.fixture(autouse=True)
def trusted_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))


@pytest.mark.parametrize("behave", [drip_headers, drip_informational_answers, drip_body])
def test_an_answer_that_drips_ends_at_the_deadline(behave: Behaviour) -> None:
    with serving(behave) as port:
        assert_gives_up_in_time(f"http://127.0.0.1:{port}", [EVENT])


@pytest.mark.parametrize("behave", [drip_handshake, drip_headers_in_tls])
def test_tls_that_drips_ends_at_the_deadline(behave: Behaviour) -> None:
    with serving(behave) as port:
        assert_gives_up_in_time(f"https://localhost:{port}", [EVENT])


def test_a_connection_that_is_made_too_late_for_tls_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []
    connect = socket.create_connection

    def connect_late(*args: Any, **options: Any) -> socket.socket:
        opened.append(connect(*args, **options))
        time.sleep(1.1)
        return opened[-1]

    monkeypatch.setattr(socket, "create_connection", connect_late)
    with serving(drip_handshake) as port:
        url = f"https://localhost:{port}"
        with (
            closing(Polar(url=url, token="token", timings=HASTY)) as polar,
            pytest.raises(PolarUnreachableError, match="took longer than 1 s"),
        ):
            polar.ingest([EVENT])
    assert [one.fileno() for one in opened] == [-1]


def test_a_server_that_reads_slowly_ends_at_the_deadline() -> None:
    with serving(read_slowly) as port:
        assert_gives_up_in_time(f"http://127.0.0.1:{port}", [EVENT | {"name": "x" * 16_000_000}])


@pytest.mark.parametrize("behave", [drip_tunnel, drip_handshake_in_a_tunnel, drip_headers_in_a_tunnel])
def test_a_tunnel_that_drips_ends_at_the_deadline(behave: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(behave) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        assert_gives_up_in_time("https://localhost:9", [EVENT])


def test_a_proxy_that_drips_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(drip_headers) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        assert_gives_up_in_time("http://polar.example", [EVENT])


def test_a_server_in_no_proxy_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(answer) as port, closing(Polar(url=f"http://127.0.0.1:{port}", token="token")) as polar:
        polar.ingest([EVENT])


def test_many_addresses_that_do_not_answer_end_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address gets the whole timeout for connecting; together they would take nine seconds."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, full_backlog(listener):
        address = listener.getsockname()
        silent = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *_args, **_kwargs: silent * (1 if host == address[0] else 10)
        )
        assert_gives_up_in_time(f"http://polar.example:{address[1]}", [EVENT])


@contextmanager
def full_backlog(listener: socket.socket) -> Iterator[None]:
    """Fill the queue of a server that accepts nobody, so that it answers no further connection."""
    waiting = []
    try:
        for _ in range(4):
            one = socket.socket()
            waiting.append(one)
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield
    finally:
        for one in waiting:
            one.close()
