"""Reads what a customer has left on each meter, for the storefront: live where Polar can tell it at once."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from config.rules import Meter
from workers.core.claims import Entry
from workers.core.customers import CustomerName, NameKind
from workers.errors import PolarUnreachableError
from workers.operations.credits.meters import MeterCache, Meters, event_name
from workers.operations.credits.share import LONGEST_WAIT_FOR_REST_SECONDS, SharedPolar
from workers.polar.catalogue import PolarMeter
from workers.polar.lists import Row
from workers.polar.responses import needs
from workers.polar.sums import read_sum
from workers.store.audit import Audit

Source = Literal["live", "polar"]
NOTHING = Decimal(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterCredits:
    """A customer's credits on one meter.

    ``balance`` is None where Polar shows none yet. If the source is ``live``, it is the sum of all events at
    the time ``as_of``. Otherwise it is Polar's own number, which lags by seconds or more.
    """

    balance: Decimal | None
    as_of: datetime
    source: Source
    granted: Decimal = NOTHING
    taken_back: Decimal = NOTHING
    """Positive."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerCredits:
    """What a customer has on each meter, by the name of the events that the meter counts.

    A meter that counts events of several names, and that the ledger does not know, has its title at Polar.
    """

    customer_id: str
    external_id: str | None
    meters: Mapping[str, MeterCredits]


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsReader:
    """Reads customers' credits from Polar and from the ledger."""

    polar: SharedPolar
    meters: MeterCache
    audit: Audit

    def read(self, name: CustomerName, entries: Iterable[Entry] | None = None) -> CustomerCredits | None:
        """Return a customer's credits; None if Polar has no such customer. Raises PolarError.

        They are summed over ``entries``, or over the whole ledger if that is None.
        """
        with needs("customers:read"):
            state = self.polar.ask(
                lambda polar: (
                    polar.external_customer_state(name.text)
                    if name.kind is NameKind.EXTERNAL
                    else polar.customer_state(name.text)
                )
            )
        if state is None:
            return None
        external_id = state.get("external_id")
        return CustomerCredits(
            customer_id=str(state["id"]),
            external_id=external_id if isinstance(external_id, str) else None,
            meters=dict(self._read_meters(_State(state), self.meters.current(), entries)),
        )

    def find_id(self, external_id: str) -> str | None:
        """Return Polar's id of the customer with the merchant's own id; None if there is none.

        It takes one request. Raises PolarError.
        """
        with needs("customers:read"):
            customer = self.polar.ask(lambda polar: polar.customer_by_external_id(external_id))
        return None if customer is None else str(customer["id"])

    def _read_meters(
        self, state: "_State", meters: Meters, entries: Iterable[Entry] | None
    ) -> Iterator[tuple[str, MeterCredits]]:
        seen: set[str] = set()
        summed = self.audit.of_customer(state.customer_id) if entries is None else entries
        for wanted, (granted, taken_back) in _sums(summed).items():
            meter = meters.counting(wanted)
            read = self._read_meter(state, meters, meter)
            seen |= {meter.id} if meter else set()
            yield wanted.name, replace(read, granted=granted, taken_back=taken_back)
        for meter in meters.all:
            if meter.id in state.balances and meter.id not in seen:
                yield event_name(meter) or meter.name, self._read_meter(state, meters, meter)

    def _read_meter(self, state: "_State", meters: Meters, meter: PolarMeter | None) -> MeterCredits:
        if meter is not None and meters.is_summable(meter) and meter.id not in state.managed:
            with needs("meters:read"):
                consumed = self.polar.ask(
                    lambda polar: polar.consumed(meter.id, state.customer_id),
                    within_seconds=LONGEST_WAIT_FOR_REST_SECONDS,
                )
            return MeterCredits(balance=0 - consumed, as_of=datetime.now(UTC), source="live")
        row = state.balances.get(meter.id) if meter else None
        if row is None:
            return MeterCredits(balance=None, as_of=datetime.now(UTC), source="polar")
        return MeterCredits(balance=read_sum(row.get("balance")), as_of=_changed_at(row), source="polar")


class _State:
    """What we read of a customer's state at Polar."""

    def __init__(self, row: Row) -> None:
        self.customer_id = str(row["id"])
        self.balances = {str(one.get("meter_id")): one for one in _rows(row.get("active_meters"))}
        subscriptions = _rows(row.get("active_subscriptions"))
        priced = [str(meter.get("meter_id")) for one in subscriptions for meter in _rows(one.get("meters"))]
        credited = [id_ for id_, one in self.balances.items() if one.get("credited_units")]
        self.managed = {*priced, *credited}
        """The meters that Polar itself resets or credits for this customer, perhaps by an old price."""


def _rows(value: Any) -> list[Row]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _changed_at(row: Row) -> datetime:
    try:
        return datetime.fromisoformat(str(row.get("modified_at") or row.get("created_at")))
    except ValueError:
        raise PolarUnreachableError("Polar's answer has no time where it should have one") from None


def _sums(entries: Iterable[Entry]) -> dict[Meter, tuple[Decimal, Decimal]]:
    """Return what Polar has confirmed: granted and taken back, by meter."""
    sums: dict[Meter, tuple[Decimal, Decimal]] = {}
    for one in entries:
        if one.granted_at is None:
            continue
        meter = Meter(name=one.grant.meter, property=one.grant.property_name)
        granted, taken_back = sums.get(meter, (NOTHING, NOTHING))
        units = one.grant.units
        sums[meter] = (granted + max(units, NOTHING), taken_back - min(units, NOTHING))
    return sums
