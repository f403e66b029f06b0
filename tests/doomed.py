"""The command ``credits``, real but for one boundary in its own code, where it dies or freezes.

A process of its own: ``python -m tests.doomed die after workers.ledger:Ledger.claim work --burst``.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any
from uuid import uuid4

from app.cli import main
from tests.processes import Credits, Running

DIED = 9  # no other end of the command has this status


class Fate(StrEnum):
    """What befalls the command at its boundary."""

    DIE = "die"
    """It is gone at once, as by SIGKILL: nothing is closed, said or given back."""
    FREEZE = "freeze"
    """It stands still until somebody wakes it, and goes on as if nothing had been."""


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """A moment: when a method (``module:Class.method``) is first called, or has first returned."""

    when: str  # before | after
    method: str


@contextmanager
def doomed(credits_: Credits, fate: Fate, boundary: Boundary, *args: str) -> Iterator[Running]:
    """Run a command that meets its fate at ``boundary``; it is dead after the block."""
    log = credits_.folder / f"doomed-{uuid4().hex}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.doomed", fate, boundary.when, boundary.method, *args],
            cwd=credits_.folder,
            env=credits_._environment() | {"LOG_FORMAT": "json"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Running(process=process, log=log)
    finally:
        process.kill()
        process.wait()


def _befall(fate: Fate, boundary: Boundary) -> None:
    """Put the fate where the boundary is."""
    module, _, path = boundary.method.partition(":")
    class_name, _, name = path.partition(".")
    owner = getattr(import_module(module), class_name)
    setattr(owner, name, _fateful(getattr(owner, name), fate, boundary.when))


def _fateful(method: Callable[..., Any], fate: Fate, when: str) -> Callable[..., Any]:
    met = False

    def meet() -> None:
        nonlocal met
        if fate is Fate.DIE:
            os._exit(DIED)
        if not met:
            met = True
            os.kill(os.getpid(), signal.SIGSTOP)

    def called(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            meet()
        answer = method(*args, **kwargs)
        if when == "after":
            meet()
        return answer

    return called


if __name__ == "__main__":
    _, fate_, when_, method_, *rest = sys.argv
    _befall(Fate(fate_), Boundary(when=when_, method=method_))
    sys.argv = ["credits", *rest]
    main()
