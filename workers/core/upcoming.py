"""Tells which instalments of an order are to come, as far as the ledger knows: when, and how much."""

from datetime import datetime
from fractions import Fraction

from msgspec import Struct

from workers.core.claims import Standing
from workers.core.grants import Grant, instalment_subject, order_of
from workers.core.instalments import instalment_parts, why_ended
from workers.core.schedule import count, instalment_at


class Upcoming(Struct, frozen=True, kw_only=True):
    """An instalment that Polar does not have yet, and when it is due; refunds so far are subtracted."""

    number: int
    at: datetime
    grant: Grant
    waits: str = ""
    """Why it has to wait longer, where an earlier look at its subscription has found that out."""


def upcoming(standing: Standing) -> tuple[Upcoming, ...]:
    """Return the instalments of an order that are to come, the next first.

    Whether its subscription has ended at Polar meanwhile shows only when the next one is due.
    """
    own = standing.own.grants if standing.own else ()
    found = (one for grant in own for one in _of_meter(standing, grant))
    return tuple(sorted(found, key=lambda one: (one.at, one.grant.meter)))


def ended(standing: Standing) -> dict[str, str]:
    """Return why no further instalments follow, by meter, where the order had some on it."""
    own = standing.own.grants if standing.own else ()
    meters = [grant.meter for grant in own if standing.every(grant.meter)]
    reasons = {meter: why_ended(standing, meter) for meter in meters}
    return {meter: reason for meter, reason in reasons.items() if reason}


def _of_meter(standing: Standing, grant: Grant) -> list[Upcoming]:
    every, period = standing.every(grant.meter), standing.period
    if every is None or period is None:
        return []
    begun = standing.begun.get(grant.meter, 1)
    last = standing.instalment(begun, grant.meter)
    if last and last.is_dismissed and last.unsettled:
        return []  # the others follow when it is replayed
    first = begun if last and last.unsettled else begun + 1
    found = []
    for number in range(first, count(period, every) + 1):
        is_next, is_claimed = number == begun + 1, number == begun
        given = last.grants[0] if last and is_claimed else _instalment(standing, grant, number)
        waits = standing.waits.get(grant.meter, "") if is_next else ""
        at = instalment_at(period, every, number)
        if why_ended(standing, grant.meter, at):
            break
        found.append(Upcoming(number=number, at=at, grant=given, waits=waits))
    return found


def _instalment(standing: Standing, grant: Grant, number: int) -> Grant:
    refunded = standing.refund.share if standing.refund else Fraction(0)
    disputed = sum((one.share for one in standing.disputes), Fraction(0))
    return Grant(
        subject=instalment_subject(order_of(standing.subject) or "", number, grant.meter),
        customer_id=grant.customer_id,
        meter=grant.meter,
        property_name=grant.property_name,
        parts=instalment_parts(grant, refunded, disputed),
        order_id=grant.order_id,
    )
