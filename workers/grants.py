"""What a grant is, how it is keyed, and the one place where credits become a negative number."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_ORDER = "credits:order:"

GRANTED_BY = "credit-granter"
_LONGEST_TEXT = 500  # Polar's bound on a metadata value


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One rule's share of a grant, in positive credits."""

    rule: str
    units: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """Credits for one customer on one meter, from one business fact."""

    subject: str
    customer_id: str
    meter: str
    property_name: str
    parts: tuple[Part, ...]

    @property
    def key(self) -> str:
        """Return the ledger's key, which is Polar's ``external_id`` too."""
        return grant_key(self.subject, self.meter)

    @property
    def units(self) -> Decimal:
        """Return the credits of all rules together, positive."""
        return sum((part.units for part in self.parts), Decimal(0))

    @property
    def rules(self) -> tuple[str, ...]:
        """Return the names of the rules that gave a share."""
        return tuple(part.rule for part in self.parts)


def order_subject(order_id: str) -> str:
    """Return the business fact "this order was paid" as the prefix of its grants' keys."""
    return _ORDER + order_id


def order_of(subject: str) -> str | None:
    """Return the order that a subject speaks of, if it speaks of one."""
    return subject.removeprefix(_ORDER) if subject.startswith(_ORDER) else None


def grant_key(subject: str, meter: str) -> str:
    """Return the key under which ``subject`` can be credited on ``meter`` once and never again."""
    return f"{subject}:{meter}"


def usage_event(grant: Grant) -> dict[str, Any]:
    """Return the event to ingest; on a Sum meter a negative value is credit.

    It has no timestamp: Polar takes its own, and refuses one that is a second ahead of it.
    """
    return {
        "name": grant.meter,
        "customer_id": grant.customer_id,
        "external_id": grant.key,
        "metadata": {grant.property_name: _number(-grant.units), **dict(_story(grant))},
    }


def _story(grant: Grant) -> Iterator[tuple[str, str]]:
    """By ``granted_by`` and ``key`` the ledger can be read back from Polar."""
    yield "granted_by", GRANTED_BY
    yield "key", grant.key
    if order_id := order_of(grant.subject):
        yield "order_id", order_id
    yield "rules", ",".join(grant.rules)[:_LONGEST_TEXT]


def _number(units: Decimal) -> int | float:
    """Return the JSON number; rules bound the digits to what a double keeps."""
    return int(units) if units == units.to_integral_value() else float(units)
