"""The command ``credits``, changed only to die or freeze at one point in its own code.

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
from tests.support.hasty_cli import hurry

DIED = 9  # the command never exits with this status otherwise


class Fate(StrEnum):
    """What happens to the command at its boundary."""

    DIE = "die"
    """It exits at once, as by SIGKILL: nothing is closed or logged."""
    FREEZE = "freeze"
    """It stops until SIGCONT, and then continues."""


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The moment before a method (``module:Class.method``) is first called, or after it first returns."""

    when: str  # before | after
    method: str


def name_of(method: Callable[..., object]) -> str:
    """Return a method's name as another process finds it: ``module:Class.method``."""
    return f"{method.__module__}:{method.__qualname__}"


def apply_fate(fate: Fate, boundary: Boundary) -> None:
    """Make this process die or freeze at ``boundary``."""
    module, _, path = boundary.method.partition(":")
    class_name, _, name = path.partition(".")
    owner = getattr(import_module(module), class_name)
    method = getattr(owner, name)
    act = _die if fate is Fate.DIE else _freeze_once()

    def called(*args: Any, **kwargs: Any) -> Any:
        if boundary.when == "before":
            act()
        answer = method(*args, **kwargs)
        if boundary.when == "after":
            act()
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
    apply_fate(Fate(fate_), Boundary(when=when_, method=method_))
    sys.argv = ["credits", *rest]
    hurry()
    main()
