"""Notes with an order's event at Polar which instalments follow, so that a lost ledger can go on.

The note is the event's reason: ``pro: 1000 each month from … to …, subscription …, product …``.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from msgspec import Struct

from config.intervals import Every
from workers.core.grants import LONGEST_TEXT, RULE_SEPARATOR, Grant, Part, is_order_subject
from workers.core.schedule import PaidPeriod

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"
_NOTE = re.compile(
    r"(?P<rules>[A-Za-z0-9._,-]{1,500}): (?P<units>[0-9]{1,15}(?:\.[0-9]{1,15})?) each (?P<every>month|week) "
    rf"from (?P<start>{_TIME}) to (?P<end>{_TIME}), "
    rf"subscription (?P<subscription>{_UUID}), product (?P<product>{_UUID})"
)


class PeriodNote(Struct, frozen=True, kw_only=True):
    """What an event says of the instalments that follow: which part of it comes again, and until when."""

    repeated: Part
    period: PaidPeriod

    def parts(self, rules: Sequence[str], units: Decimal) -> tuple[Part, ...]:
        """Return the parts of a grant by ``rules``: the one that comes again, and the rest."""
        others = [name for name in rules if name not in self.repeated.rule.split(RULE_SEPARATOR)]
        rest = units - self.repeated.units
        if not others or rest <= 0:
            return (self.repeated,)
        return (self.repeated, Part(rule=RULE_SEPARATOR.join(others), units=rest))


def period_note(grant: Grant) -> str:
    """Return the note of an order's own grant; empty without instalments, or if it is too long for Polar."""
    repeated = [part for part in grant.parts if part.every]
    period = grant.period
    if not repeated or period is None or not is_order_subject(grant.subject):
        return ""
    rules = RULE_SEPARATOR.join(part.rule for part in repeated)
    units = sum((part.units for part in repeated), Decimal(0))
    text = (
        f"{rules}: {units.normalize():f} each {repeated[0].every} from {_written(period.start)} to "
        f"{_written(period.end)}, subscription {period.subscription_id}, product {period.product_id}"
    )
    return text if len(text) <= LONGEST_TEXT else ""


def read_period_note(text: str) -> PeriodNote | None:
    """Return what a note says; None if the text is no note."""
    found = _NOTE.fullmatch(text)
    if found is None:
        return None
    try:
        start, end = datetime.fromisoformat(found["start"]), datetime.fromisoformat(found["end"])
    except ValueError:
        return None
    if start >= end:
        return None
    repeated = Part(rule=found["rules"], units=Decimal(found["units"]), every=Every(found["every"]))
    period = PaidPeriod(
        subscription_id=found["subscription"],
        product_id=found["product"],
        start=start,
        end=end,
        ordered_at=start,
    )
    return PeriodNote(repeated=repeated, period=period)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
