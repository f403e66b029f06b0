"""Keeps processes running: restarts those that die, and on a stop signal drains and ends them all."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

from msgspec import Struct

from app.processes.forked import CAN_FORK, ForkedProcess, StartedProcess, lifeline
from app.processes.part import REFUSED, run_part
from config.log import get_log
from workers.timings import DEFAULT_TIMINGS, Timings

log = get_log(__name__)


def do_nothing() -> None:
    """Do nothing."""


class ManagedProcess(Struct, kw_only=True):
    """A process that the supervisor keeps running: ``python -m app.processes <args>``."""

    name: str
    args: Sequence[str]
    env: Mapping[str, str]
    pass_fds: Sequence[int] = ()
    on_fork: Callable[[], object] | None = None
    """If given, the process may be a fork of the supervisor, which has imported all that it needs. The fork
    calls this first, to close the supervisor's sockets."""
    timings: Timings = DEFAULT_TIMINGS
    process: StartedProcess | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    """When to start it next, while it is not running."""
    deaths: int = 0
    """How often it died in a row, each time soon after its start."""

    def start(self) -> None:
        """Start the process. Ctrl-C on the terminal does not reach it; a pipe tells it when we die."""
        if CAN_FORK and self.on_fork is not None:
            self.process = ForkedProcess(f"credits-{self.args[0]}", partial(self._run_in_fork, self.on_fork))
        else:
            self.process = self._start_afresh()
        self.started_at = time.monotonic()

    def _run_in_fork(self, on_fork: Callable[[], object]) -> None:
        on_fork()
        os.environ.clear()
        os.environ.update(self.env)
        run_part(self.args)

    def _start_afresh(self) -> StartedProcess:
        return subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
            # -P: without it, a folder named app in the current folder would be imported instead of ours.
            [sys.executable, "-P", "-m", "app.processes", *self.args],
            env=dict(self.env),
            stdin=lifeline()[0],
            pass_fds=self.pass_fds,
            start_new_session=True,
        )

    def ensure_running(self) -> None:
        """Start the process when it is due; if it has died, log that and schedule its restart."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.due_at:
                self.start()
        elif (code := self.process.poll()) is not None:
            self.deaths = 0 if now - self.started_at > self.timings.stable_after_seconds else self.deaths + 1
            delay = self.timings.refused_restart_seconds if code == REFUSED else self._restart_delay()
            log.error("process died", name=self.name, cause=_cause_of_death(code), restart_in_seconds=delay)
            self.process, self.due_at = None, now + delay

    def _restart_delay(self) -> float:
        doubled: float = self.timings.first_restart_delay_seconds * 2 ** max(self.deaths - 1, 0)
        return min(doubled, self.timings.longest_restart_delay_seconds)


def _cause_of_death(code: int) -> str:
    with suppress(ValueError):  # this Python has no name for the signal
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return f"killed by signal {-code}"


def supervise(
    processes: Sequence[ManagedProcess],
    *,
    on_poll: Callable[[], None] = do_nothing,
    on_stop: Callable[[], None] = do_nothing,
    timings: Timings = DEFAULT_TIMINGS,
) -> None:
    """Keep ``processes`` running until SIGINT, SIGTERM or SIGHUP.

    ``on_poll`` is called whenever the processes are checked, five times a second. ``on_stop`` is called
    before they are stopped. It must close every socket that we share with them: our own copy would
    accept connections that nobody serves.
    """
    gc.freeze()  # a search for garbage writes to what it looks at, and forks share what nobody writes to
    with _stop_signals() as received:
        try:
            while not received:
                for process in processes:
                    process.ensure_running()
                on_poll()
                time.sleep(timings.supervisor_check_seconds)
        finally:
            log.info("stopping: work in progress is finished first")
            on_stop()
            stop_all(processes, seconds=timings.stop_seconds)
            log.info("stopped")


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect the signals that ask us to stop; a second one does not interrupt the draining."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_all(processes: Sequence[ManagedProcess], *, seconds: float) -> None:
    """Ask each process to stop, and kill those that are still running after ``seconds``."""
    running = [one.process for one in processes if one.process and one.process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + seconds
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
