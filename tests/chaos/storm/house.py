"""The house in a storm: the service's real processes, what is done to them, and who starts them again.

Receiver and workers are kept as `credits up` keeps them, and Redis is the embedded one, which has a guardian
of its own. All are in haste.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from app.processes.supervisor import ManagedProcess, stop_all
from app.receiver.server import listen, url_of
from tests.chaos.storm.blows import FROZEN, Blow, Harm
from tests.chaos.storm.hasty_process import HASTY
from tests.support.embedded_server import guardian_pid, server_pid
from tests.support.processes import Credits, processes
from workers.embedded.server import EmbeddedRedis

LOG = "parts.log"

_WORKERS = 3
_LOOK_SECONDS = 0.05
_AIM_SECONDS = 3.0  # who was just killed is there again by then


@dataclass(kw_only=True)
class HastyPart(ManagedProcess):
    """A part of `credits up`, in haste, whose words are kept."""

    log: Path
    lifeline: int
    """The end of a pipe that breaks when we die."""
    starts: int = 0

    def start(self) -> None:
        """Start it as a part of `credits up` is started."""
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.chaos.storm.hasty_process", *self.args],
                env=dict(self.env),
                stdin=self.lifeline,
                stdout=file,
                stderr=file,
                pass_fds=self.pass_fds,
                start_new_session=True,
            )
        self.started_at = time.monotonic()
        self.starts += 1

    def pid(self) -> int:
        """Return its process id; ProcessLookupError while it is being started again."""
        process = self.process
        if process is None or process.poll() is not None:
            raise ProcessLookupError
        return process.pid


@dataclass(kw_only=True)
class House:
    """Parts that run, and a Redis; what dies is started again until the house is closed."""

    receiver: HastyPart
    workers: Sequence[HastyPart]
    redis: EmbeddedRedis
    url: str
    harmed: Counter[str] = field(default_factory=Counter)
    """How often each harm met somebody."""
    _closing: Event = field(default_factory=Event)
    _closed: Event = field(default_factory=Event)

    @property
    def restarts(self) -> int:
        """Return how often a part has been started again."""
        return sum(part.starts - 1 for part in self._parts)

    @property
    def _parts(self) -> list[HastyPart]:
        return [self.receiver, *self.workers]

    def keep(self) -> None:
        """Start all, and again whatever dies; when it is closing, end all in good order."""
        try:
            while not self._closing.wait(_LOOK_SECONDS):
                for part in self._parts:
                    part.ensure_running()
                self.redis.ensure_guardian()
        finally:
            stop_all(self._parts, seconds=HASTY.stop_seconds)
            self._closed.set()

    def close(self) -> None:
        """Return when everybody has finished what was under way, and Redis is alone."""
        self._closing.set()
        self._closed.wait()

    def strike(self, blow: Blow) -> list[int]:
        """Harm whom ``blow`` is for, as soon as one of them lives; return who, or nobody after a while."""
        deadline = time.monotonic() + _AIM_SECONDS
        while not (struck := list(self._living(blow))) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        for pid in struck:
            _signal(pid, signal.SIGSTOP if blow.harm in FROZEN else signal.SIGKILL)
        if struck:
            self.harmed[blow.harm] += 1
        return struck

    def kill_workers(self) -> None:
        """Kill all who live."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                _signal(worker.pid(), signal.SIGKILL)

    def _living(self, blow: Blow) -> Iterator[int]:
        for victim in self._victims(blow):
            with suppress(ProcessLookupError):
                yield victim()

    def _victims(self, blow: Blow) -> Sequence[Callable[[], int]]:
        match blow.harm:
            case Harm.WORKER_KILLED | Harm.WORKER_FROZEN:
                return [self.workers[blow.which % len(self.workers)].pid]
            case Harm.RECEIVER_KILLED | Harm.RECEIVER_FROZEN:
                return [self.receiver.pid]
            case Harm.REDIS_KILLED | Harm.REDIS_FROZEN | Harm.REDIS_HUNG:
                return [self._server]
            case Harm.GUARDIAN_KILLED:
                return [self._guardian]
            case Harm.ALL_KILLED:
                return [self._guardian, self._server, *(part.pid for part in self._parts)]

    def _server(self) -> int:
        with _heard():
            return server_pid(self.redis)

    def _guardian(self) -> int:
        with _heard():
            pid = guardian_pid(self.redis)
        # The parent of an orphaned server is somebody else.
        if not any(one.pid == pid and "workers.embedded.guardian" in one.command for one in processes()):
            raise ProcessLookupError
        return pid


@contextmanager
def _heard() -> Iterator[None]:
    """A server that does not answer is nobody."""
    try:
        yield
    except (ValueError, OSError):
        raise ProcessLookupError from None


def thaw(blow: Blow, pids: Sequence[int]) -> None:
    """Let whom ``blow`` froze go on, or die, if nobody killed them meanwhile."""
    for pid in pids:
        _signal(pid, signal.SIGKILL if blow.harm is Harm.REDIS_HUNG else signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def house(credits_: Credits) -> Iterator[House]:
    """Run the service while the block runs, or until it is closed."""
    settings = credits_.read()
    with (
        EmbeddedRedis(settings.data_dir) as redis,
        listen(settings) as listener,
        _pipe() as lifeline,
    ):
        env = {**credits_._environment(), "REDIS_URL": redis.url, "LOG_FORMAT": "json"}

        def part(name: str, *args: str, fds: Sequence[int] = ()) -> HastyPart:
            log = credits_.folder / LOG
            return HastyPart(
                name=name, args=args, env=env, pass_fds=fds, timings=HASTY, log=log, lifeline=lifeline
            )

        fd = listener.fileno()
        service = House(
            receiver=part("receiver", "receiver", str(fd), fds=[fd]),
            workers=[part(f"worker {i + 1}", "worker") for i in range(_WORKERS)],
            redis=redis,
            url=url_of(listener),
        )
        with ThreadPoolExecutor(1) as aside:
            keeping = aside.submit(service.keep)
            try:
                yield service
            finally:
                service.close()
            keeping.result()


@contextmanager
def _pipe() -> Iterator[int]:
    """Yield the end of a pipe to be read from."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)
