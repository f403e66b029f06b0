"""The receiver as a process of its own loads nothing that grants credits: it depends on Redis alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from redis import Redis

from app.receiver.server import listen
from tests.support.processes import eventually
from tests.support.receivers import OPS_TOKEN, PAID, PATH, SECRET, settings_for, signed

UNWANTED = {
    "cel_expr_python",
    "config.cel",
    "config.rulebook",
    "config.rules",
    "httpx",
    "pydantic",
    "rq",
    "workers.operations",
    "workers.pipeline",
    "workers.polar",
    "workers.runtime",
    "yaml",
}


@contextmanager
def receiver_process(redis_url: str, folder: Path) -> Iterator[str]:
    """Run a receiver as ``credits up`` does; yield its base URL. It logs its imports to ``stderr``."""
    environment = {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        "REDIS_URL": redis_url,
        "POLAR_WEBHOOK_SECRET": SECRET,
        "CREDITS_OPS_TOKEN": OPS_TOKEN,
        "PYTHONPROFILEIMPORTTIME": "1",
    }
    with listen(settings_for(redis_url, PORT="0")) as listener, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "app.processes", "receiver", str(listener.fileno())],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[listener.fileno()],
        )
        host, port = listener.getsockname()
        try:
            yield f"http://{host}:{port}"
        finally:
            process.terminate()
            process.communicate()


def loaded_modules(stderr: str) -> set[str]:
    """Return the modules that a process with PYTHONPROFILEIMPORTTIME has loaded."""
    lines = stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def test_the_receiver_loads_no_large_package_that_it_can_do_without(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    operator = {"Authorization": f"Bearer {OPS_TOKEN}"}
    with receiver_process(redis_url, tmp_path) as url:
        eventually(lambda: httpx.get(f"{url}/readyz", timeout=30).status_code == 200)
        # One request of each kind, so that imports inside functions count as well.
        assert httpx.post(url + PATH, content=PAID, headers=signed(PAID)).status_code == 202
        assert httpx.post(url + PATH, content=PAID).status_code == 403
        assert httpx.get(f"{url}/healthz", headers=operator).status_code == 503  # there is no worker
        assert httpx.get(f"{url}/metrics", headers=operator).status_code == 200
    loaded = loaded_modules((tmp_path / "stderr").read_text())
    assert {"app.receiver.webhooks", "workers.store.intake", "workers.monitoring.metrics"} <= loaded
    assert loaded.isdisjoint(UNWANTED)
