"""Runs the handler that Polar has for Node's Express, as a rival of the receiver."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import Harness, answers, free_port
from bench.rounds import NotMeasuredError

_PROJECT = Path(__file__).with_name("node")
_INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")


@contextmanager
def express_handler(harness: Harness) -> Iterator[tuple[int, int]]:
    """Run it while the block runs; yield its port and process id. NotMeasuredError if it cannot run here."""
    if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
        raise NotMeasuredError(f"not installed: {', '.join(missing)}")
    folder = harness.folder / "node"
    shutil.copytree(_PROJECT, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(_INSTALL, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    if done.returncode:
        raise NotMeasuredError(f"npm cannot install it: {done.stderr.strip().splitlines()[-1:]}")
    port = free_port()
    with subprocess.Popen(
        ["node", "server.mjs"],  # noqa: S607 - from the PATH
        cwd=folder,
        env={**harness.environment, "PORT": str(port), "NODE_ENV": "production"},
    ) as process:
        try:
            harness.await_up(process, lambda: answers(f"http://127.0.0.1:{port}/"))
            yield port, process.pid
        finally:
            process.terminate()
