"""Decides which instalment of an order follows when Polar has confirmed one."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct

from workers.core.claims import Standing
from workers.core.grants import Grant, instalment_number, is_instalment, order_of
from workers.core.schedule import count, instalment_at


class NextInstalment(Struct, frozen=True, kw_only=True):
    """A later instalment of an order, which is to be looked at at ``at``, by Polar's clock."""

    order_id: str
    number: int
    meter: str
    at: datetime


NONE_FOLLOWS: Mapping[str, NextInstalment] = MappingProxyType({})


def next_instalment(standing: Standing, grant: Grant) -> NextInstalment | None:
    """Return the instalment that follows ``grant``, which is one of the order's claims; None after the last.

    After the order's own grant, that is number 2.
    """
    is_own = grant.subject == standing.subject
    every, period = standing.every(grant.meter), standing.period
    if every is None or period is None or not (is_own or is_instalment(grant.subject)):
        return None
    number = 1 if is_own else instalment_number(grant.subject)
    if number >= count(period, every):
        return None
    return NextInstalment(
        order_id=order_of(standing.subject) or "",
        number=number + 1,
        meter=grant.meter,
        at=instalment_at(period, every, number + 1),
    )
