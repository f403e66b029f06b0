"""What must hold at Polar after every step, stated from Polar's events alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

from app.demo.polar.organization import StoredEvent
from tests.chaos.simulation.plans import EACH, Plan, due, instalment_of
from tests.chaos.simulation.shop import REVOCABLE_STEP, Sale
from tests.support.builders import METERS
from workers.core.adjusted import credited
from workers.core.claims import Standing
from workers.core.grants import Grant

Place = tuple[str, str]
"""An order or a customer, and a meter."""
TAKES_BACK = {"refund", "dispute", "revoke"}
CORRECTS = {*TAKES_BACK, "adjust"}


@dataclass
class Promises:
    """Adds up Polar's events, and checks each new one."""

    plans: Mapping[str, Plan]
    """By order: when its instalments may come."""
    instalments: dict[Place, set[int]] = field(default_factory=dict)
    """By order and meter: the numbers of the instalments that came, the first included."""
    granted: dict[Place, Decimal] = field(default_factory=dict)
    """What each order was credited."""
    taken: dict[Place, Decimal] = field(default_factory=dict)
    adjusted: dict[Place, Decimal] = field(default_factory=dict)
    """What adjustments gave an order, or took, in sum."""
    balances: dict[Place, Decimal] = field(default_factory=dict)
    exposed: set[str] = field(default_factory=set)
    """Orders and customers of whom Redis has lost a take-back: a later refund cannot know what Polar has."""
    _seen: int = 0
    _meanings: set[tuple[str, ...]] = field(default_factory=set)

    def check(self, events: Sequence[StoredEvent]) -> None:
        """Check the events that are new since the last time."""
        for event in events[self._seen :]:
            self._add(event.sent, event.timestamp)
        self._seen = len(events)

    def _add(self, event: Mapping[str, Any], at: datetime) -> None:
        data, meter, customer = event["metadata"], event["name"], event["customer_id"]
        units = -Decimal(str(data[METERS[meter]]))
        assert event["external_id"] == data["key"]
        kind = data["key"].split(":")[1]
        if kind in TAKES_BACK:
            self._add_take_back((data["order_id"], meter), -units)
        elif kind == "adjust":
            self._add_adjustment(data["key"], (data["order_id"], meter), units)
        elif data.get("order_id") in self.plans and kind in {"order", "instalment"}:
            self._add_instalment(data["key"], units, at)
        else:
            self._add_grant(kind, event, units)
        self.balances[customer, meter] = self.balances.get((customer, meter), Decimal(0)) + units
        assert self.balances[customer, meter] >= 0 or customer in self.exposed, f"a debt of ours: {event}"

    def _add_grant(self, kind: str, event: Mapping[str, Any], units: Decimal) -> None:
        data, meter, customer = event["metadata"], event["name"], event["customer_id"]
        fact = data["order_id"] if kind == "order" else f"{customer} {data['rules']}"
        assert units > 0
        assert (kind, fact, meter) not in self._meanings, f"credited twice: {event}"
        self._meanings.add((kind, fact, meter))
        if kind == "order":
            self.granted[fact, meter] = units

    def _add_instalment(self, key: str, units: Decimal, at: datetime) -> None:
        order_id, number, meter = instalment_of(key)
        dates = self.plans[order_id].dates(meter)
        seen = self.instalments.setdefault((order_id, meter), set())
        assert number not in seen, f"credited twice: {key}"
        assert number <= len(dates), f"one too many: {key}"
        assert at >= dates[number - 1], f"before {dates[number - 1]}, at {at}: {key}"
        assert 0 < units <= EACH[meter], f"too much, or nothing: {units}, {key}"
        seen.add(number)
        place = (order_id, meter)
        self.granted[place] = self.granted.get(place, Decimal(0)) + units

    def check_plan(self, sale: Sale, *, may_lack: bool, may_keep: bool, unsent: Collection[str] = ()) -> None:
        """Check a plan whose period is over: all instalments came, or those up to an end, less the share.

        On the meters in ``unsent`` none need have come.
        """
        assert sale.plan
        for meter in EACH:
            place, whole = (sale.order_id, meter), len(sale.plan.dates(meter))
            came = self.instalments.get(place, set())
            assert came == set(range(1, len(came) + 1)), f"one is missing: {came} of {place}"
            if not came and meter in unsent:
                continue
            assert came or may_lack, f"never credited: {place}"
            is_complete = len(came) == whole or sale.has_ended or may_lack
            assert is_complete, f"{len(came)} of {whole} instalments of {meter}: {sale}"
            net = self.granted.get(place, Decimal(0)) - self.taken.get(place, Decimal(0))
            left = due(meter, len(came), sale.share)
            is_excused = sale.order_id in self.exposed or may_keep
            assert net == left or is_excused, f"{net} of {meter} left, not {left}: {sale}"

    def _add_take_back(self, place: Place, units: Decimal) -> None:
        assert units > 0
        is_given = place in self.granted or place in self.adjusted
        assert is_given, f"taken back before it was granted: {place}"
        self.taken[place] = self.taken.get(place, Decimal(0)) + units
        # All credits of a plan may be taken; an instalment after a refund gives no whole thousands.
        is_all_revocable = place in self.adjusted or place[0] in self.plans
        most = self._net(place) if is_all_revocable else revocable(self.granted[place]) - self.taken[place]
        assert most >= 0 or place[0] in self.exposed, f"too much was taken back: {place}"

    def _add_adjustment(self, key: str, place: Place, units: Decimal) -> None:
        order_id, meter = place
        assert units
        assert any(order == order_id for order, _ in self.granted), f"adjusted before it was granted: {key}"
        assert ("adjust", key, meter) not in self._meanings, f"adjusted twice: {key}"
        self._meanings.add(("adjust", key, meter))
        self.adjusted[place] = self.adjusted.get(place, Decimal(0)) + units
        assert self._net(place) >= 0 or order_id in self.exposed, f"adjusted to less than nothing: {key}"

    def _net(self, place: Place) -> Decimal:
        return sum((one.get(place, Decimal(0)) for one in (self.granted, self.adjusted)), Decimal(0)) - (
            self.taken.get(place, Decimal(0))
        )

    def is_granted(self, standing: Standing) -> bool:
        """Return whether Polar has a grant on every meter of an order's claim."""
        own = standing.own
        return own is not None and all((own.order_id, grant.meter) in self.granted for grant in own.grants)

    def check_order(self, sale: Sale, standing: Standing, *, may_keep: bool, told: Collection[str]) -> None:
        """Check an order at rest: it was credited, its share was taken back, and the ledger says the same.

        ``told`` has the keys of which a rebuild said that they differ.
        """
        places = {meter: units for (order, meter), units in self.granted.items() if order == sale.order_id}
        assert places, f"never credited: {sale.order_id}"
        at_polar = {meter: places[meter] for meter in places if f"{standing.subject}:{meter}" not in told}
        own = standing.own
        assert own is not None, f"not in the ledger: {sale.order_id}"
        assert {grant.meter: grant.units for grant in own.grants} == at_polar, f"another amount: {own}"
        assert not own.unsettled, f"not settled: {own}"
        # Polar does not record which rule gave which part, so a rebuild cannot know what a refund may take.
        merged = {grant.meter for grant in own.grants if any("," in part.rule for part in grant.parts)}
        for grant in credited(standing):
            place = (sale.order_id, grant.meter)
            if place in self.adjusted and sale.order_id not in self.exposed and not may_keep:
                self._check_adjusted(sale, grant)
        for meter, units in at_polar.items():
            if (sale.order_id, meter) in self.adjusted:
                continue
            owed = floor(Fraction(revocable(units)) * sale.share)
            taken = self.taken.get((sale.order_id, meter), Decimal(0))
            is_excused = may_keep or meter in merged if taken < owed else sale.order_id in self.exposed
            assert taken == owed or is_excused, f"{taken} of {units} {meter} taken back, not {owed}: {sale}"

    def _check_adjusted(self, sale: Sale, grant: Grant) -> None:
        """Check that an adjusted order has what the last adjustment says, less its share."""
        if not any("," in part.rule for part in grant.parts):
            left = sum(
                part.units - floor(Fraction(part.units) * sale.share * part.revocable) for part in grant.parts
            )
            net = self._net((sale.order_id, grant.meter))
            assert net == left, f"{net} {grant.meter} left, not {left}: {sale}"


def revocable(units: Decimal) -> Decimal:
    """Return what refunds may take of an order's credits on a meter."""
    return units - units % REVOCABLE_STEP
