"""Whether Redis has lost the ledger: no command grants anything until `rebuild` has read it back."""

from datetime import datetime
from functools import partial

from workers.core.usage_events import GRANTED_BY, RecordedGrant, is_marked_ours, read_usage_event
from workers.operations.pacing import Pacer
from workers.polar.client import Polar
from workers.polar.lists import events
from workers.polar.responses import needs
from workers.store.ledger import Ledger

LEDGER_LOST = (
    "the ledger lacks the first credits that Polar has of ours: run credits rebuild first (else orders are "
    "claimed anew, and refunds take again what they have taken)"
)


def is_ledger_lost(ledger: Ledger, polar: Polar, pacer: Pacer, *, now: datetime) -> bool:
    """Say whether of the first that Polar has of ours something was never claimed in this ledger.

    What was taken back does not count: without its grant a rebuild leaves it out.
    """
    listing = events(metadata={"granted_by": GRANTED_BY}, before=now)
    with needs("events:read"):
        page = pacer.ask(partial(polar.page, listing))
    told = [read_usage_event(row) for row in page.items if is_marked_ours(row)]
    subjects = [one.grant.subject for one in told if isinstance(one, RecordedGrant) and one.grant.units > 0]
    return any(standing.own is None for standing in ledger.find_many(subjects))
