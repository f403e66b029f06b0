"""Shows on a terminal how far a command is, and anywhere what it waits for."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import ceil

from msgspec import Struct, field
from rich.progress import Progress, TaskID

from app.cli.output import console, literal
from config.durations import format_duration

_SECONDS_BETWEEN_LINES = 30.0
_CLEAR_LINE = "\r\x1b[2K"


class _Screen(Struct):
    """What standard error shows: a bar, if there is one, and when a wait was last printed."""

    bars: list[tuple[Progress, TaskID, str]] = field(default_factory=list)
    last_line_at: float = -_SECONDS_BETWEEN_LINES
    last_reason: str = ""


_screen = _Screen()


@contextmanager
def show_progress(activity: str, *, json: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal while the block runs; yield a function that takes (done, total).

    A total of 0 means that the total is not known; the bar then shows only how many are done.
    """
    is_shown = sys.stderr.isatty() and not json
    with Progress(console=console(stderr=True), disable=not is_shown, transient=True) as bars:
        task = bars.add_task(activity, total=None)

        def update(done: int, total: int) -> None:
            if total:
                bars.update(task, completed=done, total=max(done, total))
            else:
                bars.update(task, description=f"{activity}: {done:,}")

        if is_shown:
            _screen.bars.append((bars, task, activity))
        try:
            yield update
        finally:
            if is_shown:
                _screen.bars.pop()
        total = bars.tasks[task].total or 1
        bars.update(task, completed=total, total=total)


def show_wait(seconds: float, why: str) -> None:
    """Wait for Polar and say why: count down on a terminal, elsewhere print a line each half minute."""
    end = time.monotonic() + seconds
    tell = _count_down if sys.stderr.isatty() else _print_line
    while (left := end - time.monotonic()) > 0:
        tell(format_duration(timedelta(seconds=ceil(left))), why)
        time.sleep(min(1.0, left))
    if tell is _count_down:
        _end_count_down()


def _print_line(left: str, why: str) -> None:
    if time.monotonic() - _screen.last_line_at >= _SECONDS_BETWEEN_LINES:
        _screen.last_line_at = time.monotonic()
        sys.stderr.write(f"{literal(f'waiting for Polar, {left} left: {why}')}\n")
        sys.stderr.flush()


def _count_down(left: str, why: str) -> None:
    if why != _screen.last_reason:
        _screen.last_reason = why
        # Not through a console: a bar replaces sys.stderr to print lines above itself.
        sys.stderr.write(f"{literal(f'waiting for Polar: {why}')}\n")
    if _screen.bars:
        bars, task, activity = _screen.bars[-1]
        bars.update(task, description=f"{activity}, waiting for Polar: {left} left")
    else:
        sys.stderr.write(f"{_CLEAR_LINE}waiting for Polar: {left} left")
        sys.stderr.flush()


def _end_count_down() -> None:
    if _screen.bars:
        bars, task, activity = _screen.bars[-1]
        bars.update(task, description=activity)
    else:
        sys.stderr.write(_CLEAR_LINE)
        sys.stderr.flush()
