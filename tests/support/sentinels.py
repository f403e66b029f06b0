"""Runs a primary, its replica and the sentinels that watch them, as people do who want no outage."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.support.processes import eventually
from tests.support.redis_servers import DURABLE, Server, free_port
from workers.embedded import executable

MASTER = "shop"
DOWN_AFTER_MS = 3000  # a busy machine must not look like a dead primary
# A primary that has lost its replica takes no writes: what it alone had would be lost with it.
GUARDED = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2", "--repl-diskless-sync-delay", "0")


@dataclass(kw_only=True)
class TcpServer:
    """A server with a port, by which others find it."""

    server: Server
    port: int

    def follows(self) -> bool:
        """Return whether it is a replica that has all that its primary has."""
        with suppress(RedisError, OSError), self.server.client() as redis:
            return bool(redis.info("replication").get("master_link_status") == "up")
        return False  # it is loading

    def say(self, *command: str | int) -> object:
        """Run a command on it as its administrator."""
        with self.server.client() as redis:
            return redis.execute_command(*command)  # type: ignore[no-untyped-call] # untyped there


@dataclass(kw_only=True)
class Watched:
    """A primary, its replica, and sentinels that promote the replica when the primary is gone."""

    servers: list[TcpServer]
    sentinel_ports: list[int] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def url(self, user: str = "", *, scheme: str = "redis+sentinel", options: str = "") -> str:
        """Return the URL that names the sentinels; ``user`` ends in @."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"{scheme}://{user}{hosts}/{MASTER}/0{options}"

    def primary(self, password: str | None = None) -> TcpServer:
        """Return the server that the first living sentinel names as primary."""
        port = eventually(lambda: self._named_by_sentinels(password))
        return next(one for one in self.servers if one.port == port)

    def is_replicated(self) -> bool:
        """Return whether a replica has all that the primary has."""
        return any(one.follows() for one in self.servers)

    def _named_by_sentinels(self, password: str | None) -> int:
        for port in self.sentinel_ports:
            with suppress(RedisError), Redis(port=port, password=password) as sentinel:
                state = sentinel.sentinel_masters()[MASTER]
                if state["is_master"] and not (state["is_sdown"] or state["is_odown"]):
                    return int(state["port"])
        return 0


@contextmanager
def watched_redis(
    folder: Path,
    *args: str,
    sentinels: int = 3,
    replicas: int = 1,
    conf: Sequence[str] = (),
    password: str | None = None,
) -> Iterator[Watched]:
    """Run servers with ``args`` and sentinels with the lines of ``conf`` while the block runs.

    ``password`` is the one that ``conf`` makes the sentinels ask for.
    """
    watched = Watched(servers=[])
    with ExitStack() as stack:
        for number in range(1 + replicas):
            port = free_port()
            own = ["--port", str(port), *args]
            server = Server(folder=folder / f"server-{number}", args=(*DURABLE, *own))
            server.start()
            stack.callback(server.kill)
            watched.servers.append(TcpServer(server=server, port=port))
        first, *others = watched.servers
        for replica in others:
            replica.say("REPLICAOF", "127.0.0.1", first.port)
            eventually(replica.follows)
        for number in range(sentinels):
            stack.callback(_stop, _start_sentinel(watched, folder / f"sentinel-{number}", conf))
        eventually(lambda: _are_complete(watched, replicas, password))
        yield watched


def _start_sentinel(watched: Watched, folder: Path, conf: Sequence[str]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    port, count = free_port(), len(watched.servers)
    lines = [
        f"port {port}",
        f"dir {folder}",
        f"logfile {folder / 'log'}",
        f"sentinel monitor {MASTER} 127.0.0.1 {watched.servers[0].port} {2 if count > 1 else 1}",
        f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
        f"sentinel failover-timeout {MASTER} 5000",
        *conf,
    ]
    file = folder / "sentinel.conf"
    file.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([executable.find_server(), str(file), "--sentinel"], stdout=subprocess.DEVNULL)
    watched.sentinel_ports.append(port)
    watched.processes.append(process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _are_complete(watched: Watched, replicas: int, password: str | None) -> bool:
    """Return whether each sentinel knows the primary, its replicas and all other sentinels."""
    others = len(watched.sentinel_ports) - 1
    for port in watched.sentinel_ports:
        try:
            with Redis(port=port, password=password) as sentinel:
                state = sentinel.sentinel_masters()[MASTER]
        except (RedisError, OSError, KeyError):
            return False
        if (state["num-slaves"], state["num-other-sentinels"]) != (replicas, others):
            return False
    return True
