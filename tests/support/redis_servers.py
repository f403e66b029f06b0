"""A Redis of a test's own: killed, frozen, started again, and set up as operators set theirs up."""

import asyncio
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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
    """One server and its folder; what it was given is there again after a restart, if it keeps anything."""

    folder: Path
    args: Sequence[str] = DURABLE
    disk_blocks: int | None = None
    """How many blocks of 512 bytes a file of it may have: beyond, the disk is full to it."""
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
        """Make a user who may do just this; return their URL."""
        with self.asked() as redis:
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
    def asked(self) -> Iterator[Redis]:
        with Redis.from_url(self.url) as client:
            yield client

    def start(self) -> None:
        """Start it; return when it answers."""
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
            restore_signals=False,  # as Python does it ignores SIGXFSZ: its writes fail, as on a full disk
        )
        eventually(self.answers)

    def answers(self) -> bool:
        """Say whether it answers, with its data loaded."""
        try:
            with self.asked() as redis:
                return bool(redis.ping())
        except (RedisError, OSError):
            return False

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """Let it be gone at once, as by a power failure of its own."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def fill_disk(self) -> None:
        """Write until it takes no more, or ends over that."""
        with self.asked() as redis, suppress(RedisError):
            while True:
                redis.set("filler", "." * 10_000)

    def make_room(self) -> None:
        """Start it again on a disk that has room."""
        self.kill()
        self.disk_blocks = None
        self.start()


@contextmanager
def own_redis(folder: Path, *args: str, disk_blocks: int | None = None) -> Iterator[Server]:
    """Run a server of one's own while the block runs."""
    server = Server(folder=folder / "own-redis", args=args or DURABLE, disk_blocks=disk_blocks)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def name_in(folder: Path) -> Path:
    """Return where a link may stand that leads now to one server, now to another, as a host's name does."""
    name = socket_path(folder)
    name.parent.mkdir(exist_ok=True)
    return name


@contextmanager
def behind_tls(server: Server) -> Iterator[int]:
    """Let it be reached on a port, by TLS alone: the server that we bring along has none of its own."""
    loop = asyncio.new_event_loop()
    door = loop.run_until_complete(
        asyncio.start_server(lambda *ends: _pass_on(server.path, *ends), "127.0.0.1", 0, ssl=_tls())
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield door.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_close(door), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    return context


async def _pass_on(path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    there, back = await asyncio.open_unix_connection(path)
    try:
        await asyncio.gather(_copy(reader, back), _copy(there, writer))
    finally:
        for end in (back, writer):
            end.transport.abort()
        await asyncio.sleep(0.01)  # the loop closes them


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _close(door: asyncio.Server) -> None:
    door.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
