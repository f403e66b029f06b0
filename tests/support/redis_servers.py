"""Runs a Redis for one test alone, which can be killed, frozen, restarted, filled up and configured."""

import asyncio
import os
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from tests.support.paths import CERTIFICATES
from tests.support.processes import eventually
from workers.embedded.server import _find_server, socket_path

OURS = ("credits:*", "rq:*")
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

    def add_user(self, user: str, password: str, commands: Sequence[str], keys: Sequence[str] = OURS) -> str:
        """Add a user with only these commands and keys; return the URL with their password."""
        with self.client() as redis:
            redis.acl_setuser(
                user,
                enabled=True,
                reset=True,
                passwords=[f"+{password}"],
                keys=list(keys),
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
            [*disk, _find_server(), *places, *log, "--save", "", *self.args],
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


def name_in(folder: Path) -> Path:
    """Return a path for a link that can point to one server and later to another, as a host name can."""
    name = socket_path(folder)
    name.parent.mkdir(exist_ok=True)
    return name


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
            for end in (back, writer):
                end.transport.abort()
            await asyncio.sleep(0.01)  # the loop closes them
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
    wire, loop = Wire(), asyncio.new_event_loop()
    listener = loop.run_until_complete(
        asyncio.start_server(lambda *ends: wire.carry(server.path, *ends), "127.0.0.1", 0, ssl=tls)
    )
    wire.port = listener.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield wire
    finally:
        asyncio.run_coroutine_threadsafe(_close(listener), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def behind_tls(server: Server) -> Iterator[int]:
    """Put TLS in front of ``server``, which cannot do it itself, while the block runs; yield the port."""
    with on_a_wire(server, _tls()) as wire:
        yield wire.port


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    return context


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
