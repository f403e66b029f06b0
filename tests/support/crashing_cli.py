"""The command ``credits``, real but for one boundary in its own code, where it dies or freezes.

``python -m tests.support.crashing_cli die after workers.store.ledger:Ledger.claim work --burst``
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any

from app.cli import main

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


def name_of(method: Callable[..., object]) -> str:
    """Return a method's name as another process finds it: ``module:Class.method``."""
    return f"{method.__module__}:{method.__qualname__}"


def befall(fate: Fate, boundary: Boundary) -> None:
    """Let this process meet its fate at ``boundary``."""
    module, _, path = boundary.method.partition(":")
    class_name, _, name = path.partition(".")
    owner = getattr(import_module(module), class_name)
    method = getattr(owner, name)
    meet = _die if fate is Fate.DIE else _freeze_once()

    def called(*args: Any, **kwargs: Any) -> Any:
        if boundary.when == "before":
            meet()
        answer = method(*args, **kwargs)
        if boundary.when == "after":
            meet()
        return answer

    setattr(owner, name, called)


def _die() -> None:
    os._exit(DIED)


def _freeze_once() -> Callable[[], None]:
    signals = [signal.SIGSTOP]

    def freeze() -> None:
        if signals:
            os.kill(os.getpid(), signals.pop())

    return freeze


if __name__ == "__main__":
    _, fate_, when_, method_, *rest = sys.argv
    befall(Fate(fate_), Boundary(when=when_, method=method_))
    sys.argv = ["credits", *rest]
    main()
