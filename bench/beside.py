"""Asks a server for pages while something else is measured, with wrk."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.wrk import WrkError, find_wrk

_SCRIPT = Path(__file__).with_suffix(".lua")
_LONGEST_SECONDS = 600
_CONNECTING_SECONDS = 0.3
_ANSWERED = re.compile(r"(\d+) requests in ([\d.]+)(m|s)")


@contextmanager
def asked_meanwhile(
    port: int, paths: Sequence[str], *, connections: int, header: str, pause_ms: int = 0
) -> Iterator[list[float]]:
    """Ask for ``paths`` in turn while the block runs; then the list has the count of answers and the seconds.

    Each connection asks again when its last request is answered, and after ``pause_ms`` on average.
    """
    measured: list[float] = []
    if not paths:
        yield measured
        return
    command = [find_wrk(), "--threads=1", f"--connections={connections}", f"--duration={_LONGEST_SECONDS}"]
    command += [f"--script={_SCRIPT}", f"--header={header}"]
    command += [f"http://127.0.0.1:{port}", "--", str(pause_ms), *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:  # noqa: S603 - found above
        try:
            time.sleep(_CONNECTING_SECONDS)
            yield measured
        finally:
            wrk.send_signal(signal.SIGINT)
            measured += _read(wrk.communicate()[0])


def _read(output: str) -> tuple[float, float]:
    found = _ANSWERED.search(output)
    if found is None:
        raise WrkError(f"wrk has measured nothing: {output[-500:]}")
    return float(found[1]), float(found[2]) * (60 if found[3] == "m" else 1)
