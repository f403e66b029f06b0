"""Runs a part of `credits up` with a twentieth of the usual waits: ``hasty_process worker``, for example.

A storm of seconds then has what the real service would see in minutes: leases that end, pauses in a row,
requests that time out. Only the timings differ, and most of them keep their proportions.
"""

import sys

from app.processes.part import run_part
from workers.timings import Timings

HASTY = Timings(
    lease_seconds=2,
    deliveries_per_lease=8,  # so that a storm's backlog needs many leases and requests
    drain_seconds=0.25,
    round_seconds=0.5,
    events_per_request=4,
    polar_connect_seconds=0.2,
    polar_write_seconds=0.25,
    polar_read_seconds=0.5,
    polar_pool_seconds=0.05,
    polar_request_seconds=1.0,
    first_pause_seconds=0.05,
    longest_pause_seconds=1.0,  # or the first outage would outlast the storm
    first_retry_seconds=0.5,
    receiver_redis_seconds=0.5,  # AOF writes take their time on a busy machine
    longest_redis_wait_seconds=0.5,
    background_check_seconds=0.1,
    event_seconds=0.4,
    event_lease_seconds=2,
    event_check_seconds=0.1,
    first_event_retry_seconds=0.1,
    longest_event_retry_seconds=1,
    longest_event_pause_seconds=0.5,
    seal_after_seconds=0.2,
    seal_round_seconds=0.02,
    seal_first_seconds=0,
    tick_seconds=1,  # RQ waits for whole seconds
    first_restart_delay_seconds=0.025,
    longest_restart_delay_seconds=0.5,
)

if __name__ == "__main__":
    run_part(sys.argv[1:], HASTY)
