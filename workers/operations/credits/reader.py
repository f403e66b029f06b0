"""Reads what a customer has left on each meter, for the storefront: live where Polar can tell it at once."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from config.rules import Meter
from workers.core.customers import CustomerName, NameKind
from workers.core.sums import NOTHING, MeterSum, SummedMeter
from workers.errors import PolarUnreachableError
from workers.operations.credits.meters import MeterCache, Meters, event_name
from workers.operations.credits.share import LONGEST_WAIT_FOR_REST_SECONDS, SharedPolar
from workers.polar.catalogue import PolarMeter
from workers.polar.lists import Row
from workers.polar.responses import needs
from workers.polar.sums import read_sum
from workers.store.audit import Audit

Source = Literal["live", "polar"]


class MeterCredits(Struct, frozen=True, kw_only=True):
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


class CustomerCredits(Struct, frozen=True, kw_only=True):
    """What a customer has on each meter, by the name of the events that the meter counts.

    A meter that counts events of several names, and that the ledger does not know, has its title at Polar.
    """

    customer_id: str
    external_id: str | None
    meters: Mapping[str, MeterCredits]


class CreditsReader(Struct, frozen=True, kw_only=True):
    """Reads customers' credits from Polar and from the ledger."""

    polar: SharedPolar
    meters: MeterCache
    audit: Audit

    def read(
        self, name: CustomerName, sums: Mapping[SummedMeter, MeterSum] | None = None
    ) -> CustomerCredits | None:
        """Return a customer's credits; None if Polar has no such customer. Raises PolarError.

        ``sums`` is what they were given, or a part of it; None stands for all that the ledger has.
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
            meters=dict(self._read_meters(_State(state), self.meters.current(), sums)),
        )

    def find_id(self, external_id: str) -> str | None:
        """Return Polar's id of the customer with the merchant's own id; None if there is none.

        It takes one request. Raises PolarError.
        """
        with needs("customers:read"):
            customer = self.polar.ask(lambda polar: polar.customer_by_external_id(external_id))
        return None if customer is None else str(customer["id"])

    def _read_meters(
        self, state: "_State", meters: Meters, sums: Mapping[SummedMeter, MeterSum] | None
    ) -> Iterator[tuple[str, MeterCredits]]:
        seen: set[str] = set()
        given = self.audit.sums_of_customer(state.customer_id) if sums is None else sums
        for wanted, one in given.items():
            if not one.granted and not one.taken_back:
                continue  # Polar has not confirmed any
            meter = meters.counting(Meter(name=wanted.name, property=wanted.property))
            read = self._read_meter(state, meters, meter)
            seen |= {meter.id} if meter else set()
            yield wanted.name, replace(read, granted=one.granted, taken_back=one.taken_back)
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
