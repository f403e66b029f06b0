"""Runs a worker until it is told to stop, or until nothing is due."""

import gc
import warnings

from config.settings import Settings
from workers.pipeline.work_loop import work_in_a_burst, work_until_stopped
from workers.pipeline.worker import GrantWorker
from workers.runtime.worker import worker_for
from workers.store.connect import connect
from workers.store.format import open_ledger
from workers.store.full_disk import naming_full_disk, require_room
from workers.timings import DEFAULT_TIMINGS, Timings

# A drain makes tens of thousands of objects for each lease, and almost none of them is garbage that only a
# collection finds. Looking through them as often as usual takes a twentieth of its time.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


def run_worker(settings: Settings, *, burst: bool = False, timings: Timings = DEFAULT_TIMINGS) -> None:
    """Run RQ jobs until a stop signal; with ``burst``, until nothing is due."""
    url = settings.require_redis_url()

    def build() -> GrantWorker:
        with (
            connect(url, settings.redis_options, timeout_seconds=timings.worker_redis_seconds) as redis,
            naming_full_disk(redis),
        ):
            require_room(redis)
            open_ledger(redis)  # first: during an outage each attempt fails here, before the expensive steps
        # RQ warns that a dashboard will not show this worker's address.
        with warnings.catch_warnings(action="ignore"):
            worker = worker_for(settings, url, timings)
        gc.freeze()  # all that is loaded now stays loaded, so no collection needs to scan it
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
        return worker

    if burst:
        work_in_a_burst(build)
    else:
        work_until_stopped(build, timings)
