"""Runs a real Redis server whose clock a test can move, by libfaketime."""

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis import Redis

from tests.support.processes import eventually
from tests.support.real_stores import now_ms
from tests.support.redis_servers import DURABLE, Server

DAY, HOUR, MINUTE = 86_400, 3_600, 60

# The package that `make install` installs has the library for this platform alone.
_IS_IN_PACKAGE = sys.platform == "linux" and platform.machine() == "x86_64"

# The mark of tests that move a server's clock.
moves_a_clock: list[pytest.MarkDecorator] = [] if _IS_IN_PACKAGE else [pytest.mark.heavy]

_IN_PACKAGE = "vendor/libfaketime/src/libfaketime.so.1"
_OF_DEBIAN = "/usr/lib/*/faketime/libfaketimeMT.so.1"


@dataclass(frozen=True, kw_only=True)
class MovableServer:
    """A server, and the file from which libfaketime reads how far its clock is ahead."""

    server: Server
    offset: Path

    @property
    def url(self) -> str:
        return self.server.url

    def set_clock(self, seconds: int) -> None:
        """Make the server's clock run so far ahead of the real one, or behind it."""
        set_offset(self.offset, seconds)
        with self.server.client() as redis:
            eventually(lambda: abs(_ahead(redis) - seconds) < 2)


@contextmanager
def movable_redis(folder: Path, *args: str, ahead: int = 0) -> Iterator[MovableServer]:
    """Run a server for this test alone while the block runs; its clock is ``ahead`` by so many seconds."""
    folder.mkdir(exist_ok=True)
    offset = folder / "clock"
    offset.write_text(f"{DAY:+}\n")  # to see whether the library works at all
    env = clock_environment(offset)
    server = Server(folder=folder / "movable", args=args or DURABLE, env=env)
    server.start()
    try:
        with server.client() as redis:
            assert _ahead(redis) > HOUR, f"{env['LD_PRELOAD']} does not move the clock of this Redis server"
        movable = MovableServer(server=server, offset=offset)
        movable.set_clock(ahead)
        yield movable
    finally:
        server.kill()


def clock_environment(offset: Path) -> dict[str, str]:
    """Return the environment of a process whose clock is ahead by what the file says."""
    return {
        "LD_PRELOAD": _library(),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # its name since 0.9.9, and the one before
        "DONT_FAKE_MONOTONIC": "1",
    }


def set_offset(offset: Path, seconds: int) -> None:
    """Write into the file how far the clock is to be ahead; a half-written one would mean another time."""
    new = offset.with_suffix(".new")
    new.write_text(f"{seconds:+}\n")
    new.replace(offset)


def _ahead(redis: Redis) -> float:
    return now_ms(redis) / 1000 - time.time()


def _library() -> str:
    """Return the library that moves a process's clock."""
    if _IS_IN_PACKAGE:
        spec = find_spec("libfaketime")
        folders = list(spec.submodule_search_locations or []) if spec else []
        found = [Path(folder) / _IN_PACKAGE for folder in folders]
    else:
        found = sorted(Path("/").glob(_OF_DEBIAN.lstrip("/")))
    usable = [path for path in found if path.exists()]
    assert usable, (
        "libfaketime is missing, without which no test can move a server's clock: run `make install` on "
        "Linux for x86-64, or install Debian's libfaketime elsewhere"
    )
    return str(usable[0])
