"""Keeps processes running: what dies is started again; a signal drains and ends them all."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import structlog

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.2
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 10.0  # short enough to be there soon after what killed it was mended
_SETTLED_SECONDS = 30.0  # who lived so long did not die of its start
_DRAIN_SECONDS = 30.0  # a request to Polar may take two thirds of it


@dataclass(kw_only=True)
class ManagedProcess:
    """One process that is to run: ``python -m app.processes.parts <args>``."""

    name: str
    args: Sequence[str]
    env: Mapping[str, str]
    pass_fds: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = 0

    def start(self) -> None:
        """Start it: deaf to the terminal's Ctrl-C, and holding a pipe that breaks when we die."""
        self.process = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
            # -P: a storefront's own folder named app must not be taken for ours.
            [sys.executable, "-P", "-m", "app.processes.parts", *self.args],
            env=dict(self.env),
            stdin=subprocess.PIPE,
            pass_fds=self.pass_fds,
            start_new_session=True,
        )
        self.started_at = time.monotonic()

    def look(self) -> None:
        """Start it if its time has come; if it died, say so and set the time."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_at:
                self.start()
        elif (code := self.process.poll()) is not None:
            self.deaths = 0 if now - self.started_at > _SETTLED_SECONDS else self.deaths + 1
            delay = min(_FIRST_DELAY_SECONDS * 2 ** max(self.deaths - 1, 0), _LONGEST_DELAY_SECONDS)
            log.error("died, starting again", part=self.name, how=_end_of(code), in_seconds=delay)
            self.process, self.start_at = None, now + delay


def _end_of(code: int) -> str:
    with suppress(ValueError):  # a signal that this Python has no name for
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return f"killed by signal {-code}"


def _nothing() -> None:
    pass


def supervise(
    parts: Sequence[ManagedProcess],
    *,
    tend: Callable[[], None] = _nothing,
    stop: Callable[[], None] = _nothing,
) -> None:
    """Run ``parts`` until SIGINT, SIGTERM or SIGHUP; ``tend`` is called at every look, ``stop`` at the end.

    It closes what we share with them: our own copy of a socket would take who comes until the last one ended.
    """
    with _stop_signals() as stopping:
        try:
            while not stopping:
                for part in parts:
                    part.look()
                tend()
                time.sleep(_LOOK_SECONDS)
        finally:
            log.info("stopping: what is under way is finished first")
            stop()
            _end(parts)
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


def _end(parts: Sequence[ManagedProcess]) -> None:
    running = [part.process for part in parts if part.process and part.process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _DRAIN_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
