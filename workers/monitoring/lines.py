"""Writes log lines to standard error: each at once, or those of many webhooks together."""

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from select import PIPE_BUF  # a pipe takes so many bytes in one piece: lines of several processes do not mix


class Lines:
    """What structlog writes to; a line that cannot be written is lost, without an error."""

    def __init__(self, *_names: str) -> None:
        """Take the names that structlog passes on."""

    def msg(self, line: str) -> None:
        """Write one line in a single call, or hold it until the end of ``lines_together``."""
        if _held.lines is None:
            _write(f"{line}\n")
        else:
            _held.lines.append(f"{line}\n")

    debug = info = warning = error = critical = exception = msg


@contextmanager
def lines_together() -> Iterator[None]:
    """Write the lines of this thread with few calls when the block ends; it must not wait for anything.

    A call costs a receiver as much as all the rest of a line.
    """
    lines: list[str] = []
    _held.lines = lines
    try:
        yield
    finally:
        _held.lines = None
        for piece in _pieces(lines):
            _write(piece)


class _Held(threading.local):
    """The lines that a thread holds; None while it writes each at once."""

    lines: list[str] | None = None


_held = _Held()


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    piece = ""
    for line in lines:
        if piece and len(piece) + len(line) > PIPE_BUF:
            yield piece
            piece = ""
        piece += line
    if piece:
        yield piece


def _write(text: str) -> None:
    with suppress(OSError, ValueError):  # a full disk, a closed pipe, a closed stream
        sys.stderr.write(text)
