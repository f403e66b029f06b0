"""Every key that we have in Redis, and how long it lives. RQ's own begin with ``rq:``.

The ledger's subjects (``credits:order:<id>`` and the like) come from ``workers.grants``: they live
for ever, for they are what stands between an order and its second credit.
"""

# What is unsettled, scored by when it is next due (ms). Lives while anything waits.
DUE = "credits:due"

# Nobody talks to Polar while this stands; its text says why. Expires when the pause is over.
PAUSE = "credits:pause"

# Pauses in a row since Polar last took something. Deleted by the next success, else after a day.
OUTAGE = "credits:outage"

# When our share of Polar's rate limit is whole again (ms). Expires then.
BUDGET = "credits:budget"

# Held by the one worker that tries Polar again after a pause. Expires with that worker's lease.
PROBE = "credits:probe"

# A stream, one entry a settled grant, in order: the audit trail. Lives for ever.
AUDIT = "credits:audit"

# The rules that workers have in force, told anew at each tick. Expires soon after the last worker.
RULES = "credits:rules"

# Written by readiness probes to see that Redis takes writes. Expires in seconds.
READY = "credits:ready"


def delivery(delivery_id: str) -> str:
    """Return the hash of one delivery. Expires ``CREDITS_RETAIN`` after it is settled; never if failed."""
    return DELIVERY + delivery_id


def about(order_id: str) -> str:
    """Return the set of deliveries about an order. Expires like the last of them; never if one failed."""
    return ABOUT + order_id


def deliveries(status: str) -> str:
    """Return the deliveries of one status, scored by when they came (ms). Pruned like their hashes."""
    return DELIVERIES + status


DELIVERY = "credits:delivery:"
DELIVERIES = "credits:deliveries:"
ABOUT = "credits:about:"
