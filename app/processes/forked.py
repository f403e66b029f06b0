"""Starts a process as a fork of this one: it need import nothing again, and shares our memory."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol

CAN_FORK = sys.platform == "linux"
"""Whether the system's own libraries survive a fork; those of macOS may not."""

_CONTEXT = multiprocessing.get_context("fork")
_STANDARD_INPUT = 0  # app.processes.part reads it to its end
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@cache
def lifeline() -> tuple[int, int]:
    """Return the ends of a pipe. Only we keep the one to write to, so whoever reads learns that we died."""
    return os.pipe()


class StartedProcess(Protocol):
    """What the supervisor uses of a process, as ``subprocess.Popen`` has it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class ForkedProcess:
    """A fork that runs a function, and then ends."""

    def __init__(self, title: str, run: Callable[[], object]) -> None:
        """Start it. Ctrl-C on the terminal does not reach it; a pipe tells it when we die."""
        self._process = _CONTEXT.Process(target=_become, args=(title, run, *lifeline()))
        # Until it has its own handlers, ours would swallow a signal that is meant for it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (status := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return status


def _become(title: str, run: Callable[[], object], reading: int, writing: int) -> None:
    """Turn the fork into a process of its own, and run ``run`` in it."""
    os.setsid()
    os.close(writing)
    os.dup2(reading, _STANDARD_INPUT)
    with suppress(OSError):  # a container may hide /proc
        Path("/proc/self/comm").write_text(title)  # for ps and top: the command line is ours
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    run()
