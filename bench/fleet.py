"""Runs the service on several hosts with one Redis. Redis and the fake of Polar have a host each, too."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from redis.exceptions import RedisError

from bench.harness import POLAR_LATENCY_MS, Harness, answers, configure
from bench.load import send
from bench.network import Host, network
from workers.embedded.executable import find_server

_REDIS, _POLAR = "redis", "polar"
_REDIS_PORT, _POLAR_PORT = 6379, 8080
_CONNECTIONS = 32  # to each receiver

_DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
_NO_REWRITE = ("--auto-aof-rewrite-percentage", "0")  # of all earlier rounds, in the middle of one

Running = TypeVar("Running")


@dataclass(frozen=True, kw_only=True, slots=True)
class Receiver:
    """Where a receiver listens, and its process."""

    address: str
    port: int
    pid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """The hosts, and what runs on them."""

    hosts: Mapping[str, Host]
    harness: Harness

    @contextmanager
    def receiver(self, name: str) -> Iterator[Receiver]:
        """Run a receiver on a host while the block runs."""
        host = self.hosts[name]
        with _on(host, self.harness.receiver(host.address)) as (port, pid):
            yield Receiver(address=host.address, port=port, pid=pid)

    @contextmanager
    def worker(self, name: str) -> Iterator[None]:
        """Run a worker on a host while the block runs."""
        with _on(self.hosts[name], self.harness.workers()):
            yield


@contextmanager
def start_fleet(*names: str, polar_per_minute: int, share: int) -> Iterator[Fleet]:
    """Make a host for each name, and one each for Redis and Polar, while the block runs."""
    with tempfile.TemporaryDirectory() as folder, network(_REDIS, _POLAR, *names) as hosts:
        redis_url = f"redis://{hosts[_REDIS].address}:{_REDIS_PORT}/0"
        polar_url = f"http://{hosts[_POLAR].address}:{_POLAR_PORT}"
        harness = configure(Path(folder), redis_url, polar_url, share)
        limits = (str(POLAR_LATENCY_MS), str(polar_per_minute))
        polar = harness.process("bench.polar", str(_POLAR_PORT), *limits, hosts[_POLAR].address)
        with _redis(harness, hosts[_REDIS]), _on(hosts[_POLAR], polar) as process:
            harness.await_up(process, lambda: answers(f"{polar_url}/taken?least=0"))
            yield Fleet(hosts=hosts, harness=harness)


def send_to_all(receivers: Sequence[Receiver], requests: Sequence[bytes]) -> None:
    """Send the requests to the receivers at the same time, each its part; LoadError if one is refused."""
    with ThreadPoolExecutor(len(receivers)) as pool:
        parts = [requests[number :: len(receivers)] for number in range(len(receivers))]
        sent = [
            pool.submit(send, one.port, part, connections=_CONNECTIONS, host=one.address)
            for one, part in zip(receivers, parts, strict=True)
        ]
        for each in sent:
            each.result()


@contextmanager
def _on(host: Host, running: AbstractContextManager[Running]) -> Iterator[Running]:
    """Start what runs on a host; end it after the block."""
    with ExitStack() as stack:
        with host.inside():
            started = stack.enter_context(running)
        yield started


@contextmanager
def _redis(harness: Harness, host: Host) -> Iterator[None]:
    """Run a Redis that is as durable as the embedded one, which has no port."""
    folder = harness.folder / "redis"
    folder.mkdir()
    places = ("--dir", str(folder), "--bind", host.address, "--port", str(_REDIS_PORT))
    command = [find_server(), *places, *_DURABLE, *_NO_REWRITE, "--save", "", "--protected-mode", "no"]
    with host.inside(), (harness.folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own server
    try:
        harness.await_up(process, lambda: _is_up(harness))
        yield
    finally:
        process.terminate()
        process.wait()


def _is_up(harness: Harness) -> bool:
    try:
        with harness.redis() as redis:
            return bool(redis.ping())
    except RedisError:
        return False
