"""Takes a lease through the first steps of a granter, so that a test can change something before the next."""

import time

from workers.core.delivery import Lease
from workers.pipeline.granter import Granter
from workers.pipeline.leases import ClaimedLease, TakenLease


def plan_and_claim(granter: Granter, lease: Lease) -> ClaimedLease:
    """Plan and claim a lease."""
    return granter.claim(granter.plan(TakenLease(lease=lease, taken_at=time.monotonic())))
