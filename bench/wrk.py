"""Loads receivers with wrk, which takes a fraction of the processor time that any receiver here takes."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.orders import PATH
from bench.rounds import NotMeasuredError

_SCRIPT = Path(__file__).with_suffix(".lua")
_MARK = "MEASURED "
_TIMEOUT = "--timeout=10s"  # as Polar does


class WrkError(NotMeasuredError):
    """wrk is missing, or the receiver refused what it sent, so that a rate would mean nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What wrk has measured: how many requests were answered a second, and the latencies in milliseconds."""

    answered: int
    rate: float
    p50_ms: float
    p99_ms: float


def find_wrk() -> str:
    """Return the path of wrk; WrkError, which says how to install it, if there is none."""
    if path := shutil.which("wrk"):
        return path
    raise WrkError(
        "wrk is not installed, and a slower sender would be what is measured: apt-get install wrk "
        "(macOS: brew install wrk)"
    )


def load(
    port: int, requests: Iterable[bytes], *, connections: int, seconds: int, may_repeat: bool = False
) -> Load:
    """Send ``requests`` for some seconds. Each connection sends the next one when its last is answered.

    WrkError if a request was refused, or if there were too few that must not repeat.
    """
    with tempfile.NamedTemporaryFile() as file:
        for request in requests:
            file.write(b"%08d" % len(request) + request)
        file.flush()
        command = [
            find_wrk(),
            "--threads=1",
            f"--connections={connections}",
            f"--duration={seconds}",
            _TIMEOUT,
        ]
        command += [f"--script={_SCRIPT}", f"http://127.0.0.1:{port}{PATH}", "--", file.name]
        if may_repeat:
            command.append("again")
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - found above
    return read_measured(done.stdout, done.stderr)


def read_measured(output: str, errors: str) -> Load:
    """Return what wrk has printed as ``output``; WrkError if the figures mean nothing."""
    line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise WrkError(f"wrk has measured nothing: {(errors or output)[-500:]}")
    found = json.loads(line.removeprefix(_MARK))
    if found["refused"] or found["failed"]:
        raise WrkError(f"{found['refused']} requests were refused, {found['failed']} failed")
    if found["ran_out"]:
        raise WrkError("wrk has sent all requests too soon: prepare more of them")
    return Load(
        answered=found["requests"],
        rate=found["requests"] / found["microseconds"] * 1e6,
        p50_ms=found["p50"] / 1000,
        p99_ms=found["p99"] / 1000,
    )
