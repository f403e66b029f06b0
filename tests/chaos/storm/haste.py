"""The service in haste: ``python -m tests.chaos.storm.haste worker`` has a twentieth of a worker's patience.

A storm of seconds then meets what the real one would meet in minutes: leases that end, pauses in a row,
requests given up. Nothing but the constants differs, and most of them keep their proportions.
"""

import runpy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import httpx

_IN_HASTE: Mapping[str, object] = {
    "workers.store.deliveries.LEASE_SECONDS": 2,
    "workers.pipeline.granter.MOST_DELIVERIES": 8,  # a storm's backlog is many leases and requests, too
    "workers.pipeline.ingestion.MOST_EVENTS": 4,
    "workers.pipeline.ingestion._ROUND_SECONDS": 0.5,
    "workers.polar.client._TIMEOUT": httpx.Timeout(connect=0.2, write=0.25, read=0.5, pool=0.05),
    "workers.pipeline.retries._FIRST_PAUSE_SECONDS": 0.05,
    "workers.pipeline.retries._LONGEST_PAUSE_SECONDS": 1.0,  # or a storm would be over with its first outage
    "workers.pipeline.retries._FIRST_RETRY_SECONDS": 0.5,
    "workers.pipeline.granter._DRAIN_SECONDS": 0.25,
    "workers.store.outage._LONGEST_WAIT_SECONDS": 0.5,
    "workers.pipeline.worker.TICK_SECONDS": 1,  # RQ waits no shorter
    "workers.store.connect.RECEIVER_SECONDS": 0.5,  # AOF writes take their time on a busy machine
    "app.main.RECEIVER_SECONDS": 0.5,
    "app.processes.supervisor._FIRST_DELAY_SECONDS": 0.025,
    "app.processes.supervisor._LONGEST_DELAY_SECONDS": 0.5,
}


@contextmanager
def haste() -> Iterator[None]:
    """Let this process be in haste while the block runs."""
    with ExitStack() as stack:
        for name, value in _IN_HASTE.items():
            stack.enter_context(patch(name, value))
        yield


if __name__ == "__main__":
    with haste():
        runpy.run_module("app.processes", run_name="__main__", alter_sys=True)
