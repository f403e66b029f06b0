"""Compares a customer's balance at Polar with what the ledger granted and took back, meter by meter."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from config.rules import Meter
from workers.core.sums import NOTHING, MeterSum, SummedMeter
from workers.operations.pacing import Pacer
from workers.polar.catalogue import PolarMeter, parse_items
from workers.polar.client import Polar
from workers.polar.lists import Listing, Row
from workers.polar.meter_match import closest_matches
from workers.polar.responses import needs
from workers.polar.sums import read_sum
from workers.store.audit import Audit, OnRead, ignore_reading


class Balance(Struct, frozen=True, kw_only=True):
    """A customer's credits on one meter.

    ``balance`` is Polar's number, positive where credit is left; the other amounts come from the ledger.
    """

    meter: str
    polar_meter: str | None = None
    balance: Decimal | None = None
    granted: Decimal = NOTHING
    taken_back: Decimal = NOTHING
    not_at_polar_yet: Decimal = NOTHING


class BalanceReader(Struct, frozen=True, kw_only=True):
    """Reads balances from Polar and from the ledger."""

    polar: Polar
    pacer: Pacer
    audit: Audit

    def read(self, customer_id: str, *, on_read: OnRead = ignore_reading) -> list[Balance]:
        """Return the customer's balance on every meter that Polar or the ledger has for them."""
        listing = Listing(path="/v1/customer-meters/", query={"customer_id": customer_id})
        with needs("customer_meters:read"):
            rows = [row for page in self.pacer.read(self.polar, listing) for row in page.items]
        # A server that ignores the filter lists the meters of all customers.
        own = [row for row in rows if row.get("customer_id") == customer_id]
        return match_balances(own, self.audit.sums_of_customer(customer_id, on_read))


def match_balances(rows: Sequence[Row], sums: Mapping[SummedMeter, MeterSum]) -> list[Balance]:
    """Match each meter of the ledger to Polar's meter that counts its events; return the balances."""
    held = dict(
        zip(
            parse_items(PolarMeter, (row.get("meter") for row in rows)),
            (read_sum(row.get("balance")) for row in rows),
            strict=True,
        )
    )
    found: list[Balance] = []
    for summed, sum_ in sums.items():
        ours = _balance(summed, sum_)
        meter = _meter_for(Meter(name=summed.name, property=summed.property), held)
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


def _balance(meter: SummedMeter, ours: MeterSum) -> Balance:
    return Balance(
        meter=meter.name,
        granted=ours.granted,
        taken_back=ours.taken_back,
        not_at_polar_yet=ours.not_at_polar_yet,
    )
