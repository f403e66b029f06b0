"""Runs the service's real processes in a storm, harms them, and restarts them.

Receiver and workers are supervised as by `credits up`. Redis is the embedded one, which has a guardian of
its own. All use hasty timings.
"""

import os
import shlex
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
from unittest.mock import patch

from app.processes.supervisor import ManagedProcess, stop_all
from app.receiver.server import listen, url_of
from tests.chaos.storm.hasty_process import HASTY
from tests.chaos.storm.process_faults import FROZEN, Harm, ProcessFault
from tests.support.embedded_server import guardian_pid, server_pid
from tests.support.moving_clock import DAY, HOUR, MINUTE, clock_environment, set_offset
from tests.support.processes import Credits, processes
from workers.embedded import executable
from workers.embedded.server import EmbeddedRedis

LOG = "parts.log"

_WORKERS = 3
_SENDERS = 2  # of credit events, as on two hosts
_CHECK_SECONDS = 0.05
_CLOCK_OFFSETS = (HOUR, -HOUR, 0, DAY, -DAY, MINUTE)
_AIM_SECONDS = 3.0  # enough for a killed process to be restarted


class HastyProcess(ManagedProcess, kw_only=True):
    """A process of `credits up` with hasty timings and a log file."""

    log: Path
    lifeline: int
    """The read end of a pipe that closes when we die."""
    starts: int = 0

    def start(self) -> None:
        """Start it as `credits up` starts its processes."""
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
        """Return its process id; ProcessLookupError while it waits for its restart."""
        process = self.process
        if process is None or process.poll() is not None:
            raise ProcessLookupError
        return process.pid


@dataclass(kw_only=True)
class RunningService:
    """The processes and Redis; those that die are restarted until the service is closed."""

    receiver: HastyProcess
    workers: Sequence[HastyProcess]
    background: HastyProcess
    senders: Sequence[HastyProcess]
    """Of credit events; none where the storefront is told of nothing."""
    redis: EmbeddedRedis
    clock: Path
    """The file that says how far the clock of Redis is ahead."""
    url: str
    harmed: Counter[str] = field(default_factory=Counter)
    """How often each kind of harm hit a process."""
    _closing: Event = field(default_factory=Event)
    _closed: Event = field(default_factory=Event)

    @property
    def restarts(self) -> int:
        """Return the number of restarts."""
        return sum(process.starts - 1 for process in self._processes)

    @property
    def _processes(self) -> list[HastyProcess]:
        return [self.receiver, *self.workers, self.background, *self.senders]

    def keep(self) -> None:
        """Start all processes and restart those that die; stop them when the service is closing."""
        try:
            while not self._closing.wait(_CHECK_SECONDS):
                for process in self._processes:
                    process.ensure_running()
                self.redis.ensure_guardian()
        finally:
            stop_all(self._processes, seconds=HASTY.stop_seconds)
            self._closed.set()

    def close(self) -> None:
        """Stop the processes; return when their work in progress is finished."""
        self._closing.set()
        self._closed.wait()

    def apply_fault(self, process_fault: ProcessFault) -> list[int]:
        """Kill or freeze the fault's processes; return their ids, or none if none runs within a while."""
        if process_fault.harm is Harm.CLOCK_SET:
            set_offset(self.clock, _CLOCK_OFFSETS[process_fault.which % len(_CLOCK_OFFSETS)])
            self.harmed[process_fault.harm] += 1
            return []
        deadline = time.monotonic() + _AIM_SECONDS
        while not (harmed_pids := list(self._running_pids(process_fault))) and time.monotonic() < deadline:
            time.sleep(_CHECK_SECONDS)
        for pid in harmed_pids:
            _signal(pid, signal.SIGSTOP if process_fault.harm in FROZEN else signal.SIGKILL)
        if harmed_pids:
            self.harmed[process_fault.harm] += 1
        return harmed_pids

    def kill_workers(self) -> None:
        """Kill all running workers."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                _signal(worker.pid(), signal.SIGKILL)

    def kill_sender(self, which: int) -> None:
        """Kill a sender of credit events, if it runs."""
        with suppress(ProcessLookupError):
            _signal(self.senders[which % len(self.senders)].pid(), signal.SIGKILL)
            self.harmed["a sender killed"] += 1

    def lose_last_second(self, folder: Path) -> None:
        """Kill Redis, and take from its disk what it wrote in the last second, as a power failure can."""
        sizes = {file: file.stat().st_size for file in folder.glob("*.incr.aof")}
        time.sleep(1)
        with suppress(ProcessLookupError):
            guardian, server = self._guardian(), self._server()
            _signal(guardian, signal.SIGSTOP)  # or it would start the server at once
            try:
                _signal(server, signal.SIGKILL)
                time.sleep(_CHECK_SECONDS)
                for file, size in sizes.items():
                    if file.exists() and file.stat().st_size > size:  # else it was rewritten meanwhile
                        os.truncate(file, size)
                        self.harmed["a second lost"] += 1
            finally:
                _signal(guardian, signal.SIGCONT)

    def _running_pids(self, process_fault: ProcessFault) -> Iterator[int]:
        for target in self._targets(process_fault):
            with suppress(ProcessLookupError):
                yield target()

    def _targets(self, process_fault: ProcessFault) -> Sequence[Callable[[], int]]:
        match process_fault.harm:
            case Harm.WORKER_KILLED | Harm.WORKER_FROZEN:
                return [self.workers[process_fault.which % len(self.workers)].pid]
            case Harm.RECEIVER_KILLED | Harm.RECEIVER_FROZEN:
                return [self.receiver.pid]
            case Harm.REDIS_KILLED | Harm.REDIS_FROZEN | Harm.REDIS_HUNG:
                return [self._server]
            case Harm.GUARDIAN_KILLED:
                return [self._guardian]
            case Harm.ALL_KILLED:
                return [self._guardian, self._server, *(process.pid for process in self._processes)]
            case Harm.CLOCK_SET:
                return []

    def _server(self) -> int:
        with _unresponsive_is_missing():
            return server_pid(self.redis)

    def _guardian(self) -> int:
        with _unresponsive_is_missing():
            pid = guardian_pid(self.redis)
        # An orphaned server has another parent.
        if not any(one.pid == pid and "workers.embedded.guardian" in one.command for one in processes()):
            raise ProcessLookupError
        return pid


@contextmanager
def _unresponsive_is_missing() -> Iterator[None]:
    """Treat a server that does not answer as a missing process."""
    try:
        yield
    except (ValueError, OSError):
        raise ProcessLookupError from None


def thaw(process_fault: ProcessFault, pids: Sequence[int]) -> None:
    """Continue or kill the frozen processes, if they still run."""
    for pid in pids:
        _signal(pid, signal.SIGKILL if process_fault.harm is Harm.REDIS_HUNG else signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def run_service(credits_: Credits) -> Iterator[RunningService]:
    """Run the service during the block, or until it is closed."""
    settings, clock = credits_.read(), credits_.folder / "clock"
    with (
        _movable_clock(clock),
        EmbeddedRedis(settings.data_dir) as redis,
        listen(settings) as listener,
        _pipe() as lifeline,
    ):
        env = {**credits_._environment(), "REDIS_URL": redis.url, "LOG_FORMAT": "json"}

        def part(name: str, *args: str, fds: Sequence[int] = ()) -> HastyProcess:
            log = credits_.folder / LOG
            return HastyProcess(
                name=name, args=args, env=env, pass_fds=fds, timings=HASTY, log=log, lifeline=lifeline
            )

        fd = listener.fileno()
        service = RunningService(
            receiver=part("receiver", "receiver", str(fd), fds=[fd]),
            workers=[part(f"worker {i + 1}", "worker") for i in range(_WORKERS)],
            background=part("background", "background"),
            senders=[
                part(f"events {i + 1}", "events") for i in range(_SENDERS if settings.events_url else 0)
            ],
            redis=redis,
            clock=clock,
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
def _movable_clock(offset: Path) -> Iterator[None]:
    """Let the embedded server's clock be ahead by what the file says."""
    set_offset(offset, 0)
    server = offset.with_name("server-with-a-clock")
    preset = [f"{name}={value}" for name, value in clock_environment(offset).items()]
    server.write_text(f'#!/bin/sh\nexec env {shlex.join([*preset, executable.find_server()])} "$@"\n')
    server.chmod(0o700)
    with patch.object(executable, "find_server", lambda: str(server)):
        yield


@contextmanager
def _pipe() -> Iterator[int]:
    """Yield the read end of a pipe."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)
