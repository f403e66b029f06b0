"""Every key that we have in Redis, and how long it lives. RQ's own begin with ``rq:``.

The ledger's subjects (``credits:order:<id>`` and the like) come from ``workers.core.grants``: they live
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

# Stands after a 429: for each five minutes that are left of it, our share is halved. Expires within fifteen.
THRIFT = "credits:thrift"

# Held by the one worker that tries Polar again after a pause. Expires with that worker's lease.
PROBE = "credits:probe"

# A stream, one entry a settled grant, in order: the audit trail. Lives for ever.
AUDIT = "credits:audit"

# What a rebuild has written down and not put into the audit trail yet, scored by when Polar took it (ms).
# Lives until that rebuild, or the next one, has.
RESTORED = "credits:restored"

# A hash: by customer, the newest of their facts in the ledger, without `credits:`; its field `before` names
# the one before it. Lives for ever, as they do.
CUSTOMERS = "credits:customers"

# A hash, written at each tick: the rules that workers have in force, and whether they have refused the file
# since. Expires soon after the last worker.
RULES = "credits:rules"

# What has failed, and what people were told of it. Lives for ever: a handful of small numbers.
ALERTS = "credits:alerts"

# What happened, all told: a hash of numbers for /metrics, a field for each name and its labels. Lives for
# ever: it has some fields a meter, however much happens.
COUNTS = "credits:counts"

# Since when workers have looked without a gap, and Polar has been as it is. Expires soon after the last.
WATCH = "credits:watch"

# Stands from a round of the reconciler until the next one is due. Expires then.
RECONCILED = "credits:reconciled"

# Written by readiness probes to see that Redis takes writes. Expires in seconds.
READY = "credits:ready"


def delivery(delivery_id: str) -> str:
    """Return the hash of one delivery. Expires ``CREDITS_RETAIN`` after it is settled; never if failed."""
    return DELIVERY + delivery_id


def body(delivery_id: str) -> str:
    """Return what was sent, packed. Lives as long as its delivery, unless it is erased before."""
    return BODY + delivery_id


def about(id_: str) -> str:
    """Return the settled deliveries about an order, or a customer, that no entry of the ledger names.

    Scored by when they expire (ms; inf if failed). Expires like the last of them.
    """
    return ABOUT + id_


def hush(kind: str) -> str:
    """Return what stands while people are not told of this kind of trouble again. Expires in minutes."""
    return f"credits:hush:{kind}"


def deliveries(status: str) -> str:
    """Return the deliveries of one status, scored by when they came (ms). Pruned like their hashes."""
    return DELIVERIES + status


DELIVERY = "credits:delivery:"
BODY = "credits:body:"
DELIVERIES = "credits:deliveries:"
ABOUT = "credits:about:"
