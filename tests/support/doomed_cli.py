"""Starts commands that die or freeze at a boundary, as processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from tests.support.crashing_cli import Boundary, Fate
from tests.support.processes import Credits, Running


@contextmanager
def doomed(credits_: Credits, fate: Fate, boundary: Boundary, *args: str) -> Iterator[Running]:
    """Run a command that dies or freezes at ``boundary``; it is killed after the block."""
    log = credits_.folder / f"doomed-{uuid4().hex}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "tests.support.crashing_cli",
                fate,
                boundary.when,
                boundary.method,
                *args,
            ],
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
