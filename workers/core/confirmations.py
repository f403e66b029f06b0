"""Decides whether Polar has a grant as the ledger has it, where Polar counted a duplicate.

A request whose answer was lost is sent again, and Polar then counts its events as duplicates. It also does so
if the ledger was lost and an order is claimed anew, perhaps with another amount. Only the event tells which.
"""

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from workers.core.grants import Grant
from workers.core.recorded_grants import InvalidUsageEvent, RecordedGrant
from workers.core.wording import plain

# Polar's list of events lags by seconds, once by a minute. An event that it lacks after this is told.
LONGEST_LAG = timedelta(hours=1)

_FIRST_WAIT = timedelta(seconds=5)


class Reading(Struct, frozen=True, kw_only=True):
    """What Polar's list of events has for a grant.

    ``polar`` says in words what is there instead of the grant; it is empty while that is not known.
    """

    grant: Grant
    is_equal: bool = False
    polar: str = ""
    read_again_after: timedelta | None = None


def reading_of(
    grant: Grant, found: Sequence[RecordedGrant | InvalidUsageEvent], *, settled_for: timedelta
) -> Reading:
    """Return what the events that Polar lists under the grant's key say about it.

    ``settled_for`` is how long ago the grant was settled: the waits between readings grow with it.
    """
    if not found:
        is_late = settled_for >= LONGEST_LAG
        wait = min(max(settled_for, _FIRST_WAIT), LONGEST_LAG)
        return Reading(grant=grant, polar="nothing" if is_late else "", read_again_after=wait)
    recorded = [one.grant for one in found if isinstance(one, RecordedGrant)]
    if any(is_same_credit(one, grant) for one in recorded):
        return Reading(grant=grant, is_equal=True)
    return Reading(grant=grant, polar=_text(recorded[0], grant) if recorded else "an unreadable event")


def is_same_credit(one: Grant, other: Grant) -> bool:
    """Return whether two grants are the same credit, as far as Polar records it."""
    return (one.units, one.customer_id) == (other.units, other.customer_id)


def _text(at_polar: Grant, grant: Grant) -> str:
    """Return the amount that Polar has, and the customer if it is another one."""
    is_same_customer = at_polar.customer_id == grant.customer_id
    return plain(at_polar.units) + ("" if is_same_customer else f" for {at_polar.customer_id}")
