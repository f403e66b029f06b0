"""Every key of ours in Redis, and how long it lives. RQ's keys begin with ``rq:``.

The ledger's entries have their subjects as keys (``credits:order:<id>`` and the like, see
``workers.core.grants``) until they are sealed into buckets. They never expire: they are what prevents a
second credit for the same order. Only the hash of an order that was refunded and never credited does, after
its last webhook can have come again.
"""

# A sorted set: unsettled deliveries, scored by when each is next due (ms). Exists while any delivery waits.
DUE = "credits:due"

# A sorted set: the later instalments of orders that are to come (an order's id, a number and a meter,
# separated by spaces), scored by when each is next looked at, by Polar's clock (ms). Exists while there are
# any.
INSTALMENTS = "credits:instalments"

# A set: the deliveries of instalments that are due and not settled. Exists while there are any.
DUE_INSTALMENTS = "credits:instalments_due"

# A string: while it exists no worker asks Polar; its text says why. Expires when the pause is over.
PAUSE = "credits:pause"

# A hash: how many pauses in a row there were since Polar last accepted anything, since when, and why. Deleted
# when Polar accepts something; expires a day after the last pause.
OUTAGE = "credits:outage"

# A string: when our whole share of Polar's rate limit is there again (ms). Expires at that time.
BUDGET = "credits:budget"

# A string, written after a 429: while it exists, our share is halved once for every five minutes that it has
# left to live. Expires fifteen minutes after the pause that follows the 429, or sooner.
REDUCED_SHARE = "credits:reduced"

# A string: held by the one worker that asks Polar first after a pause. Expires with that worker's lease.
PROBE = "credits:probe"

# A stream, the newest part of the audit trail: an entry for each settled grant, in the order of settlement.
# Never expires: what is older moves into streams, one for each day (the number of days since 1970 follows).
AUDIT = "credits:audit"
AUDIT_DAY = "credits:audit:"

# Hashes, the buckets of two tables (a number follows): settled facts of the ledger, and the newest fact of
# each customer (see workers/store/lua/tables.lua). Never expire.
FACTS = "credits:facts:"
NEWEST = "credits:newest:"

# A hash: what settled facts have in common, by a number, and the number of each. Never expires: rules and
# meters decide how many there are, and there are at most ten thousand.
TEMPLATES = "credits:templates"

# A hash: how many buckets the tables have, how many entries, and how far the audit trail was moved. Never
# expires.
SEALED = "credits:sealed"

# A string: since when (ms) it is known that Redis has lost entries. Deleted by `rebuild`.
LOST = "credits:lost"

# A string: exists until the ledger is to be compared with our first events at Polar again. Expires within an
# hour.
COMPARED = "credits:compared"

# A sorted set: grants that `rebuild` has restored but not yet added to the audit trail, scored by when Polar
# accepted them (ms). Exists until this rebuild or the next one has added them.
RESTORED = "credits:restored"

# A sorted set: settled grants of which Polar may have another amount (a subject, a line feed and a meter),
# scored by when each is to be read back next (ms). Exists while there are any.
UNCONFIRMED = "credits:unconfirmed"

# A hash: of those grants, the ones of which Polar has something else, with the ledger's amount and what Polar
# has. Exists while there are any.
MISMATCHES = "credits:mismatches"

# A string: held by the one process that reads a grant back. Expires soon after that process has died.
CONFIRMING = "credits:confirming"

# A hash: by customer, the newest of their facts in the ledger, until that is sealed. Each fact names the one
# before it in its field `before`. Both leave out `credits:`. Never expires.
CUSTOMERS = "credits:customers"

# A hash, written at each tick: which rules the workers use, with the names of their offers, and whether they
# have refused the file since.
# Expires soon after the last worker has ended.
RULES = "credits:rules"

# A hash: how far the ticks have looked through each list of deliveries for expired ones, if it has many old
# ones. Expires soon after the last worker has ended.
PRUNED = "credits:pruned"

# A hash, written at each tick: the time of Redis's clock, and how many steps of that clock were mended. Never
# expires.
CLOCK = "credits:clock"

# A string: by how many ms the clock of Redis was ahead of Polar's at the last look. Expires within a day, and
# is deleted when the clock of Redis steps.
POLAR_CLOCK = "credits:polar_clock"

# A sorted set, the outbox: credit events that the storefront has not taken yet, scored by when each is sent
# next (ms). An event is named by a subject, a line feed and a meter, or by `failed`, a line feed, a delivery
# and its attempt. Exists while there are any.
OUTBOX = "credits:outbox"

# A sorted set: those of them that the storefront has refused, scored by when it first did (ms). Exists while
# there are any.
OUTBOX_REFUSED = "credits:outbox:refused"

# A hash: of events that were refused, how often each was, and why the last time. Exists while there are any.
OUTBOX_ATTEMPTS = "credits:outbox:attempts"

# A hash: what an event about a failed delivery tells. Exists while such an event is in the outbox or in one
# of the next two lists.
OUTBOX_FAILURES = "credits:outbox:failures"

# Sorted sets: the events that the storefront took last, and those that were given up last, scored by when
# that was (ms). Never expire; a thousand and ten thousand events at most (see workers.store.outbox).
OUTBOX_SENT = "credits:outbox:sent"
OUTBOX_GIVEN_UP = "credits:outbox:given_up"

# A sorted set: our workers, scored by the time of their last tick (ms). Each tick removes those that have
# been silent for five minutes; RQ has forgotten them by then.
WORKERS = "credits:workers"

# A hash: how many deliveries have failed, and what was reported to people. Never expires; it is small.
ALERTS = "credits:alerts"

# A hash: all that was counted for /metrics since the beginning, a field for each name with its labels (see
# workers.store.counts). Never expires: how many fields it has depends only on the number of meters.
COUNTS = "credits:counts"

# Hashes, one for each day (the number of days since 1970 follows): the counts of that day, for charts (see
# workers.store.days). Expire after 400 days.
DAY = "credits:day:"

# A list: what operators did at the desk, the newest first, a thousand entries at most. Never expires.
DESK_ACTIONS = "credits:desk:actions"

# Strings, one for each session of the desk that was ended by logging out. Expire with the session's cookie.
DESK_ENDED = "credits:desk:ended:"

# A hash: since when workers have looked for alerts without a gap while Polar was in the same state, and when
# they first saw the newest credit. Expires soon after the last look.
WATCH = "credits:watch"

# A string: exists from the beginning of a round of the reconciler until the next is due. Expires then.
RECONCILED = "credits:reconciled"

# A string: the problem that interrupted the reconciler's last round, if a person must solve it. Deleted by a
# round without such a problem; expires after a day.
RECONCILE_PROBLEM = "credits:reconcile_problem"

# A string: says that the reconciler has seen a rule whose credits lost disputes take back. Their policy was
# frozen with them, so disputes matter from then on. Never expires.
DISPUTABLE = "credits:disputable"

# A hash: when the last webhook with a valid signature came; how many that look like Polar's were refused
# after it, since when, and why. Never expires.
WEBHOOKS = "credits:webhooks"

# A hash: what is wrong with the webhook endpoint at Polar, and what the last look found. Expires a day after
# that look.
ENDPOINT = "credits:endpoint"

# A channel: each settlement publishes the orders and the offers' deliveries that it concerns, separated by
# spaces. Whoever waits for one of them then looks it up; nobody has to listen.
SETTLED = "credits:settled"

# A string: exists until the endpoint is to be looked at again. Expires within minutes.
ENDPOINT_LOOK = "credits:endpoint_look"

# A string: when a worker first ran on this ledger (ms). By itself the reconciler grants no earlier order.
# Never expires.
BEGAN = "credits:began"

# A string: the format of all that is stored, a whole number (see workers.store.format). Never expires.
FORMAT = "credits:format"

# A string: held by the one process that brings the stored data to the next format. Expires soon after that
# process has died.
MIGRATION = "credits:migration"

# A string: written by readiness probes to see whether Redis takes writes. Expires within seconds.
READY = "credits:ready"

# All keys of ours, and those of RQ.
PREFIXES = ("credits:", "rq:")

DELIVERY = "credits:delivery:"
BODY = "credits:body:"
DELIVERIES = "credits:deliveries:"
ABOUT = "credits:about:"

# Hashes whose fields are ids of orders, 16 bytes each: their webhooks came and were skipped. The period and
# the id's first three digits follow. Expire when nothing looks back as far, whatever CREDITS_RETAIN is.
TOLD = "credits:told:"


def delivery(delivery_id: str) -> str:
    """Return the key of a delivery's hash. Expires ``CREDITS_RETAIN`` after settlement, never if failed."""
    return DELIVERY + delivery_id


def body(delivery_id: str) -> str:
    """Return the key of a delivery's compressed body. Expires with the delivery, unless erased before."""
    return BODY + delivery_id


def about(id_: str) -> str:
    """Return the key of the settled deliveries about an order or a customer.

    Deliveries that the ledger names are left out. A sorted set, scored by when each delivery expires (ms; inf
    if it failed). Expires with the last of them.
    """
    return ABOUT + id_


# Hashes, one for each subscription with instalments: by meter, the youngest order that began them, as
# "<when it was created (ms)> <its id>". Never expire.
CHAIN = "credits:chain:"

# Hashes, one for each customer who got an offer: how many places of each offer they have taken. Never expire.
OFFERED = "credits:offered:"


def muted(kind: str) -> str:
    """Return the key that exists while alerts of this kind are not repeated. Expires within minutes."""
    return f"credits:muted:{kind}"


def deliveries(status: str) -> str:
    """Return the key of the list of deliveries with this status.

    A sorted set, scored by when each was received (ms). Each tick removes deliveries that have expired.
    """
    return DELIVERIES + status
