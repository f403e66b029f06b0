"""Runs what the benchmarks measure: a durable Redis, a fake of Polar, receivers and workers as processes."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from redis import Redis
from rq import Queue
from rq.worker_registration import get_keys

from bench.orders import SECRET
from workers.embedded.server import EmbeddedRedis
from workers.store.queue import QUEUE

RULES = """\
version: 1
meters: {api_usage: {}}
rules:
  - {name: pack, triggers: [subscription_cycle], grant: {api_usage: 10}}
"""

# uvicorn's choice where both are installed, as they are with ours.
_OUR_SERVER = ("--http=httptools", "--loop=uvloop")

API_TOKEN = "api-token-of-the-bench"  # noqa: S105 - used by the benchmarks alone
POLAR_LATENCY_MS = 30
_UNLIMITED = 100_000  # requests a minute; the most that our settings take
_PATIENCE_SECONDS = 60
_POLL_SECONDS = 0.002


class HarnessError(Exception):
    """A process did not start, or did not do what is measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Harness:
    """The addresses of Redis and Polar, and how to run processes against them."""

    folder: Path
    redis_url: str
    polar_url: str
    environment: Mapping[str, str]

    @contextmanager
    def process(self, *args: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``python -m args`` while the block runs; its output goes to a log file."""
        with (
            (self.folder / "log").open("ab") as log,
            subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", *args],
                env={**self.environment, **environment},
                stdin=subprocess.PIPE,  # a part of `credits up` ends when it closes
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()

    @contextmanager
    def receiver(self, address: str = "127.0.0.1", *, count: int = 1) -> Iterator[tuple[int, int]]:
        """Run our receiver, or several on one port, while the block runs; yield the port and a process id."""
        port = free_port()
        command = ("app", "serve", f"--receivers={count}")
        with self.process(*command, HOST=address, PORT=str(port)) as process:
            self.await_up(process, lambda: answers(f"http://{address}:{port}/readyz"))
            yield port, process.pid

    @contextmanager
    def api(self, **environment: str) -> Iterator[tuple[int, int]]:
        """Run the storefront API while the block runs; yield its port and process id.

        Its token is ``API_TOKEN``.
        """
        port = free_port()
        given = {"CREDITS_API_TOKEN": API_TOKEN, "CREDITS_API_PORT": str(port), **environment}
        with self.process("app", "api", **given) as process:
            self.await_up(process, lambda: answers(f"http://127.0.0.1:{port}/readyz"))
            yield port, process.pid

    @contextmanager
    def rival(self, app: str, **environment: str) -> Iterator[tuple[int, int]]:
        """Run one of the applications of ``bench.rivals`` on the server on which ours runs."""
        port = free_port()
        options = [f"--port={port}", *_OUR_SERVER, "--no-access-log", "--log-level=warning"]
        with self.process("uvicorn", f"bench.rivals:{app}", *options, **environment) as process:
            self.await_up(process, lambda: answers(f"http://127.0.0.1:{port}/"))
            yield port, process.pid

    @contextmanager
    def workers(self, count: int = 1) -> Iterator[int]:
        """Run ``count`` of our workers while the block runs; yield the id of the process that runs them."""
        before = self._registered(QUEUE)
        with self.process("app", "work", f"--workers={count}") as process:
            self.await_up(process, lambda: len(self._registered(QUEUE) - before) == count)
            yield process.pid

    @contextmanager
    def part(self, name: str, **environment: str) -> Iterator[int]:
        """Run one process of ``credits up`` alone while the block runs, such as a worker; yield its id."""
        before = self._registered(QUEUE)
        with self.process("app.processes", name, **environment) as process:
            if name == "worker":
                self.await_up(process, lambda: len(self._registered(QUEUE) - before) == 1)
            yield process.pid

    @contextmanager
    def rq_worker(self, kind: str, queue: str) -> Iterator[None]:
        """Run one of RQ's own workers while the block runs."""
        before = self._registered(queue)
        options = ["--url", self.redis_url, "--worker-class", kind]
        with self.process("rq.cli", "worker", *options, queue) as process:
            self.await_up(process, lambda: len(self._registered(queue) - before) == 1)
            yield

    def await_up(self, process: subprocess.Popen[bytes], is_up: Callable[[], bool]) -> None:
        """Return as soon as ``is_up`` is true; HarnessError if the process has ended, or after a minute."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                output = (self.folder / "log").read_text(errors="replace")
                raise HarnessError(f"{process.args!r} did not start; its output: {output[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def _registered(self, queue: str) -> set[str]:
        """Return the workers registered with RQ; one that was killed may still be among them."""
        with self.redis() as redis:
            return set(get_keys(queue=Queue(queue, connection=redis)))

    def redis(self) -> Redis:
        """Return a client of Redis."""
        return Redis.from_url(self.redis_url)

    def taken(self, least: int = 0) -> dict[str, float]:
        """Return Polar's counts once it has ingested at least ``least`` events."""
        answer = httpx.get(f"{self.polar_url}/taken", params={"least": least}, timeout=None, trust_env=False)  # noqa: S113
        return {name: float(value) for name, value in answer.json().items()}


@contextmanager
def start_harness(
    *, polar_latency_ms: int = POLAR_LATENCY_MS, polar_per_minute: int = _UNLIMITED, share: int = _UNLIMITED
) -> Iterator[Harness]:
    """Run a Redis and a fake of Polar while the block runs; remove everything afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        embedded = EmbeddedRedis(folder / "redis")
        with embedded:
            port = free_port()
            harness = configure(folder, embedded.url, f"http://127.0.0.1:{port}", share)
            with harness.process(
                "bench.polar", str(port), str(polar_latency_ms), str(polar_per_minute)
            ) as polar:
                harness.await_up(polar, lambda: answers(f"{harness.polar_url}/taken?least=0"))
                yield harness
        embedded.await_end()


def configure(folder: Path, redis_url: str, polar_url: str, share: int) -> Harness:
    """Return a harness for a Redis and a Polar; its settings and rules are in ``folder``."""
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    ours = {
        "POLAR_ACCESS_TOKEN": "polar_oat_of-the-bench",
        "POLAR_WEBHOOK_SECRET": SECRET,
        "POLAR_SERVER": polar_url,
        "REDIS_URL": redis_url,
        "CREDITS_RULES": str(rules),
        "CREDITS_DATA_DIR": str(folder / "redis"),
        "CREDITS_POLAR_REQUESTS_PER_MINUTE": str(share),
    }
    rivals = {"BENCH_REDIS": redis_url, "BENCH_POLAR": polar_url, "BENCH_QUEUE": "bench"}
    passed_on = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = {**passed_on, "HOME": str(folder), **ours, **rivals}
    return Harness(folder=folder, redis_url=redis_url, polar_url=polar_url, environment=environment)


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Return whether a server answers with anything but a 5xx."""
    # Not by httpx, which first loads the certificates of the system: that would count as a server's start.
    where = urlsplit(url)
    with closing(HTTPConnection(where.netloc, timeout=_PATIENCE_SECONDS)) as connection:
        try:
            connection.request("GET", f"{where.path}?{where.query}")
            return connection.getresponse().status < HTTPStatus.INTERNAL_SERVER_ERROR
        except (OSError, HTTPException):
            return False


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds that a process and its children have used; NaN where there is no /proc."""
    try:
        ticks: Sequence[str] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return float("nan")
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") + sum(cpu_seconds(int(one)) for one in children)
