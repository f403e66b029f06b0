"""Writes credits and times the same way everywhere."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from workers.core.grants import Grant

_NOTHING = Decimal(0)


def credits_text(grants: Iterable[Grant]) -> str:
    """Return credits as text: ``10 api_usage, 0.5 images; took back 3 api_usage``."""
    given: dict[str, Decimal] = {}
    taken: dict[str, Decimal] = {}
    for grant in grants:
        units, meter = grant.units, grant.meter
        if units > 0:
            given[meter] = given.get(meter, _NOTHING) + units
        elif units:
            taken[meter] = taken.get(meter, _NOTHING) - units
    texts = [_listed(given)] if given else []
    return "; ".join(texts + ([f"took back {_listed(taken)}"] if taken else [])) or "nothing"


def utc(moment: datetime) -> str:
    """Return a time in UTC, to the second: ``2026-11-01T12:00:00Z``."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def plain(units: Decimal) -> str:
    """Return a number of credits without an exponent or trailing zeros."""
    text = f"{units:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _listed(units: Mapping[str, Decimal]) -> str:
    # Sorted, because texts are compared, and claims and plans list their grants in different orders.
    return ", ".join([f"{plain(total)} {meter}" for meter, total in sorted(units.items())])
