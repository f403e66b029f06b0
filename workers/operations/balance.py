"""Compares a customer's balance at Polar with what the ledger granted and took back, meter by meter."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from config.rules import Meter
from workers.core.claims import Entry
from workers.operations.pacing import Pacer
from workers.polar.catalogue import PolarMeter, parse_items
from workers.polar.client import Polar
from workers.polar.lists import Listing, Row
from workers.polar.meter_match import closest_matches
from workers.polar.responses import needs
from workers.polar.sums import read_sum
from workers.store.audit import Audit

NOTHING = Decimal(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """A customer's credits on one meter.

    ``balance`` is Polar's number, positive where credit is left; the other amounts come from the ledger.
    """

    meter: str
    polar_meter: str | None = None
    balance: Decimal | None = None
    granted: Decimal = NOTHING
    taken_back: Decimal = NOTHING
    not_at_polar_yet: Decimal = NOTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceReader:
    """Reads balances from Polar and from the ledger."""

    polar: Polar
    pacer: Pacer
    audit: Audit

    def read(self, customer_id: str) -> list[Balance]:
        """Return the customer's balance on every meter that Polar or the ledger has for them."""
        listing = Listing(path="/v1/customer-meters/", query={"customer_id": customer_id})
        with needs("customer_meters:read"):
            rows = [row for page in self.pacer.read(self.polar, listing) for row in page.items]
        # A server that ignores the filter lists the meters of all customers.
        own = [row for row in rows if row.get("customer_id") == customer_id]
        return match_balances(own, self.audit.of_customer(customer_id))


def match_balances(rows: Sequence[Row], entries: Iterable[Entry]) -> list[Balance]:
    """Match each meter of the ledger to Polar's meter that counts its events; return the balances."""
    held = dict(
        zip(
            parse_items(PolarMeter, (row.get("meter") for row in rows)),
            (read_sum(row.get("balance")) for row in rows),
            strict=True,
        )
    )
    found: list[Balance] = []
    for wanted, ours in _by_meter(entries).items():
        meter = _meter_for(wanted, held)
        if meter is None:
            found.append(ours)
        else:
            found.append(replace(ours, polar_meter=meter.name, balance=held.pop(meter)))
    found += [Balance(meter=one.name, polar_meter=one.name, balance=left) for one, left in held.items()]
    return sorted(found, key=lambda one: one.meter)


def _meter_for(wanted: Meter, meters: Collection[PolarMeter]) -> PolarMeter | None:
    """Return the meter that counts these credits; an archived one only if no active one does."""
    for is_archived in (False, True):
        candidates = [one for one in meters if (one.archived_at is not None) is is_archived]
        as_active = {one.model_copy(update={"archived_at": None}): one for one in candidates}
        for match in closest_matches(wanted, as_active):
            if not match.faults:
                return as_active[match.meter]
    return None


def _by_meter(entries: Iterable[Entry]) -> Mapping[Meter, Balance]:
    found: dict[Meter, Balance] = {}
    for one in entries:
        meter = Meter(name=one.grant.meter, property=one.grant.property_name)
        found[meter] = _plus(found.get(meter, Balance(meter=meter.name)), one)
    return found


def _plus(balance: Balance, one: Entry) -> Balance:
    units = one.grant.units
    if one.granted_at is None:
        return replace(balance, not_at_polar_yet=balance.not_at_polar_yet + units)
    if units > 0:
        return replace(balance, granted=balance.granted + units)
    return replace(balance, taken_back=balance.taken_back - units)
