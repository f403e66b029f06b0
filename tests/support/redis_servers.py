"""Runs a Redis for one test alone, which can be killed, frozen, restarted, filled up and configured."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from tests.support.paths import CERTIFICATES
from tests.support.processes import eventually
from workers.embedded import executable
from workers.embedded.folder import socket_path

OURS = ("credits:*", "rq:*")
Carry = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec")


@dataclass(kw_only=True)
class Server:
    """One Redis server and its folder; with AOF, its data survives a restart."""

    folder: Path
    args: Sequence[str] = DURABLE
    disk_blocks: int | None = None
    """The largest file, in blocks of 512 bytes; beyond it writes fail as on a full disk."""
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.path))}"

    @property
    def path(self) -> Path:
        return socket_path(self.folder)

    def url_of(self, user: str, password: str) -> str:
        return f"{self.url}?username={user}&password={password}"

    def add_user(
        self,
        user: str,
        password: str,
        commands: Sequence[str],
        keys: Sequence[str] = OURS,
        channels: Sequence[str] = ("*",),
    ) -> str:
        """Add a user with only these commands, keys and channels; return the URL with their password."""
        with self.client() as redis:
            redis.acl_setuser(
                user,
                enabled=True,
                reset=True,
                passwords=[f"+{password}"],
                keys=list(keys),
                channels=list(channels),
                commands=list(commands),
            )
        return self.url_of(user, password)

    @contextmanager
    def client(self) -> Iterator[Redis]:
        with Redis.from_url(self.url) as client:
            yield client

    def start(self) -> None:
        """Start the server; return once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path.parent.mkdir(exist_ok=True)
        log = ["--logfile", str(self.folder / "log")]
        places = ["--dir", str(self.folder), "--port", "0", "--unixsocket", str(self.path)]
        disk = (
            []
            if self.disk_blocks is None
            else ["/bin/sh", "-c", f'ulimit -f {self.disk_blocks}; exec "$@"', "sh"]
        )
        self.process = subprocess.Popen(
            [*disk, executable.find_server(), *places, *log, "--save", "", *self.args],
            env={**os.environ, **self.env},
            restore_signals=False,  # then it ignores SIGXFSZ, as Python does, and its writes fail instead
        )
        eventually(self.answers)

    def answers(self) -> bool:
        """Return whether it answers and has loaded its data."""
        try:
            with self.client() as redis:
                return bool(redis.ping())
        except (RedisError, OSError):
            return False

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it, as a power failure would."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def fill_disk(self) -> None:
        """Write until the server accepts no more, or ends."""
        with self.client() as redis, suppress(RedisError):
            while True:
                redis.set("filler", "." * 10_000)

    def make_room(self) -> None:
        """Restart it on a disk with free space."""
        self.kill()
        self.disk_blocks = None
        self.start()


@contextmanager
def own_redis(folder: Path, *args: str, disk_blocks: int | None = None) -> Iterator[Server]:
    """Run a server for this test alone while the block runs."""
    server = Server(folder=folder / "own-redis", args=args or DURABLE, disk_blocks=disk_blocks)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def one_node_cluster(folder: Path) -> Iterator[Server]:
    """Run a cluster whose one node has all slots."""
    mode = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    with own_redis(folder, *DURABLE, *mode) as server:
        with server.client() as redis:
            redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]
        yield server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def name_in(folder: Path) -> Path:
    """Return a path for a link that can point to one server and later to another, as a host name can."""
    name = socket_path(folder)
    name.parent.mkdir(exist_ok=True)
    return name


@contextmanager
def answering(server: Server, command: bytes, error: str) -> Iterator[str]:
    """Let a stranger answer ``command`` with ``error``, and ``server`` all others; yield the URL."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(server.path)
        answers = asyncio.create_task(_copy(there, writer))
        try:
            while data := await reader.read(65536):
                if command in data:
                    writer.write(f"-{error}\r\n".encode())
                else:
                    back.write(data)
            back.close()
            await answers
        finally:
            await _abort(back, writer)

    with _listening(carry) as port:
        yield f"redis://127.0.0.1:{port}/0"


@dataclass(kw_only=True)
class Wire:
    """A TCP connection to a server, which a test can cut."""

    port: int = 0
    passes: float = inf
    """How many more bytes of answers pass before the wire is cut, once."""
    connections: int = 0
    """How many are open."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self, *, after: int = 0) -> None:
        """Cut the connection on which the next answer comes, after some bytes of that answer."""
        self.passes = after

    async def carry(self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to the server until either end closes it."""
        there, back = await asyncio.open_unix_connection(path)
        self.connections += 1
        try:
            await asyncio.gather(_copy(reader, back), self._answer(there, writer))
        finally:
            await _abort(back, writer)
            self.connections -= 1

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await there.read(65536):
                if len(data) > self.passes:
                    writer.write(data[: int(self.passes)])
                    self.passes = inf
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def on_a_wire(server: Server, tls: ssl.SSLContext | None = None) -> Iterator[Wire]:
    """Put a wire in front of ``server`` while the block runs."""
    wire = Wire()
    with _listening(lambda *ends: wire.carry(server.path, *ends), tls) as port:
        wire.port = port
        yield wire


@contextmanager
def _listening(carry: Carry, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Listen while the block runs, and ``carry`` each connection; yield the port."""
    loop = asyncio.new_event_loop()
    listener = loop.run_until_complete(asyncio.start_server(carry, "127.0.0.1", 0, ssl=tls))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_close(listener), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def behind_tls(server: Server, certificate: Path = CERTIFICATES / "server.pem") -> Iterator[int]:
    """Put TLS in front of ``server``, which cannot do it itself, while the block runs; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with on_a_wire(server, context) as wire:
        yield wire.port


def self_signed(folder: Path, *names: str) -> Path:
    """Make a certificate that nobody has signed, as hosted servers often have; return its file."""
    pem = folder / "self-signed.pem"
    subject = ["-subj", "/CN=redis", "-addext", f"subjectAltName={','.join(names or ('DNS:other.example',))}"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(pem)]
    made = subprocess.run(
        ["openssl", "req", "-x509", "-days", "2", *key, *subject], capture_output=True, check=True
    )
    pem.write_bytes(pem.read_bytes() + made.stdout)
    return pem


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _close(listener: asyncio.Server) -> None:
    listener.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _abort(*ends: asyncio.StreamWriter) -> None:
    """Close both ends of a connection at once, also those that nobody has closed yet."""
    for end in ends:
        end.transport.abort()
    await asyncio.sleep(0.01)  # the loop closes them
