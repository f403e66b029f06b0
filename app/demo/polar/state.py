"""What the stand-in for Polar knows, and what its events add up to."""

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4, uuid5

from app.demo.polar.faults import Fault
from app.demo.polar.history import Order, WebhookDelivery, WebhookEvent
from app.demo.polar.records import Customer, CustomerMeter, Meter, Product, UserEvent, by_name
from app.demo.polar.shapes import EventCreate, EventCreateCustomer

SCOPES = frozenset(
    {
        "customer_meters:read",
        "customers:read",
        "customers:write",
        "events:read",
        "events:write",
        "meters:read",
        "orders:read",
        "products:read",
        "webhooks:read",
    }
)
WINDOW_SECONDS = 60  # of the rate limit
# Both limits were measured, not documented. The likely reasons: a statement of at most 32,767
# parameters, seven to a row; an index entry of at most about 2,700 bytes.
MOST_METERED_ROWS = 4_681
MOST_EXTERNAL_ID_CHARACTERS = 2_600


class StatementTooLargeError(Exception):
    """Polar's database refuses the statement, which Polar does not foresee: its answer is a 500."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """One attempt to ingest: its events as sent (none if unreadable) and the status it met."""

    at: datetime
    events: Sequence[Any]
    status: int


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One event as Polar keeps it; ``sent`` is what the client wrote, ``external_id`` included."""

    id: UUID
    timestamp: datetime
    sent: dict[str, Any]

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the metadata, empty if none were sent."""
        metadata: dict[str, Any] = self.sent.get("metadata", {})
        return metadata

    def shown(self, owner: Customer | None) -> UserEvent:
        """Return this event as the API shows it."""
        return UserEvent(
            id=self.id,
            timestamp=self.timestamp,
            customer_id=owner.id if owner else None,
            customer=owner,
            external_customer_id=self.sent.get("external_customer_id"),
            label=self.sent["name"],
            name=self.sent["name"],
            metadata=self.metadata,
        )

    def is_of(self, customer: Customer) -> bool:
        """Say whether this event counts for ``customer``, by Polar's id or by the merchant's."""
        if "external_customer_id" in self.sent:
            return bool(self.sent["external_customer_id"] == customer.external_id)
        return bool(self.sent["customer_id"] == str(customer.id))


@dataclass(kw_only=True)
class Polar:
    """One organization at Polar."""

    token: str = "polar_oat_standin"  # noqa: S105 # made up; it guards nothing
    scopes: frozenset[str] = SCOPES
    requests_per_minute: int = 500  # Polar's limit in production
    faults: deque[Fault] = field(default_factory=deque)
    clock: Callable[[], float] = time.monotonic
    customers: dict[str, Customer] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    products: list[Product] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    deliveries: list[WebhookDelivery] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list, init=False)
    received: list[Received] = field(default_factory=list, init=False)
    _external_ids: set[str] = field(default_factory=set, init=False)
    _arrivals: deque[float] = field(default_factory=deque, init=False)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the stored events in their order, as sent, each with its ``external_id``."""
        return [event.sent for event in self.stored]

    def add_customer(self, customer_id: UUID | str | None = None, **fields: Any) -> Customer:
        """Make a customer known; ValidationError if ``customer_id`` is no UUID of version 4."""
        identity = uuid4() if customer_id is None else customer_id
        fields.setdefault("email", f"{identity}@example.com")
        customer = Customer.model_validate({"id": identity, **fields})
        self.customers[str(customer.id)] = customer
        return customer

    def add_meter(self, name: str, summed: str = "units", **fields: Any) -> Meter:
        """Make a meter that sums ``summed`` over the events called ``name``, but for what ``fields`` say."""
        usual = {"filter": by_name(name), "aggregation": {"func": "sum", "property": summed}}
        self.meters[name] = Meter.model_validate({"name": name, **usual, **fields})
        return self.meters[name]

    def add_product(self, **fields: Any) -> Product:
        """Put a product on sale; ValidationError if a field of it is none of Polar's forms."""
        self.products.append(Product.model_validate(fields))
        return self.products[-1]

    def add_order(self, **fields: Any) -> Order:
        """Make an order known, in place of the one with its id; ValidationError if it is none of Polar's."""
        order = Order.model_validate(fields)
        self.orders[str(order.id)] = order
        return order

    def add_delivery(self, webhook_id: UUID | str, body: bytes, **fields: Any) -> WebhookDelivery:
        """Make an attempt to deliver a webhook known, a failed one but for what ``fields`` say."""
        event = {"id": webhook_id, "payload": body.decode(), "type": json.loads(body)["type"]}
        webhook = WebhookEvent.model_validate(event)
        self.deliveries.append(WebhookDelivery.model_validate({"webhook_event": webhook, **fields}))
        return self.deliveries[-1]

    def admits(self) -> bool:
        """Count one request; say whether it is within the rate limit."""
        now = self.clock()
        while self._arrivals and now - self._arrivals[0] >= WINDOW_SECONDS:
            self._arrivals.popleft()
        if len(self._arrivals) >= self.requests_per_minute:
            return False
        self._arrivals.append(now)
        return True

    def unknown_customers(self, batch: Sequence[EventCreate]) -> dict[int, str]:
        """Return the customer ids that nobody has, by the event's place in the batch."""
        return {
            place: str(event.customer_id)
            for place, event in enumerate(batch)
            if isinstance(event, EventCreateCustomer) and str(event.customer_id) not in self.customers
        }

    def ingest(self, batch: Sequence[EventCreate]) -> dict[str, int]:
        """Store all of ``batch`` but duplicates, or nothing: StatementTooLargeError."""
        if sum(self._is_metered(event.name) for event in batch) > MOST_METERED_ROWS:
            raise StatementTooLargeError
        if any(len(event.external_id or "") > MOST_EXTERNAL_ID_CHARACTERS for event in batch):
            raise StatementTooLargeError
        inserted = sum(self._store(event) for event in batch)
        return {"inserted": inserted, "duplicates": len(batch) - inserted}

    def balance(self, customer_id: UUID | str, meter: str) -> Decimal:
        """Return the credits left; KeyError if there is no such customer or meter."""
        return -self.consumed(self.customers[str(customer_id)], self.meters[meter])

    def consumed(self, customer: Customer, meter: Meter) -> Decimal:
        """Return the sum of the metered property; what is no number is not counted."""
        values = (event.metadata.get(meter.summed) for event in self.metered(customer, meter))
        # By way of the text, as Polar's numeric column reads it: 0.1 is a tenth.
        return sum((Decimal(str(v)) for v in values if type(v) in {int, float}), Decimal(0))

    def customer_meter(self, customer: Customer, meter: Meter) -> CustomerMeter | None:
        """Return the balance as the API shows it; None before the first event."""
        events = self.metered(customer, meter)
        if not events:
            return None
        consumed = self.consumed(customer, meter)
        return CustomerMeter(
            id=uuid5(customer.id, str(meter.id)),
            created_at=events[0].timestamp,
            modified_at=events[-1].timestamp,
            customer_id=customer.id,
            meter_id=meter.id,
            consumed_units=float(consumed),
            balance=float(-consumed),
            customer=customer,
            meter=meter,
        )

    def metered(self, customer: Customer, meter: Meter) -> list[Stored]:
        """Return the customer's events that the meter adds up."""
        return [event for event in self.stored if meter.adds_up(event.sent["name"]) and event.is_of(customer)]

    def owner(self, event: Stored) -> Customer | None:
        """Return whose event it is; None while nobody bears its external customer id."""
        if "customer_id" in event.sent:
            return self.customers[event.sent["customer_id"]]
        return next((c for c in self.customers.values() if event.is_of(c)), None)

    def _is_metered(self, name: str) -> bool:
        return any(meter.adds_up(name) for meter in self.meters.values())

    def _store(self, event: EventCreate) -> bool:
        if event.external_id is not None:
            if event.external_id in self._external_ids:
                return False
            self._external_ids.add(event.external_id)
        sent = {"external_id": None, **event.model_dump(mode="json", exclude_unset=True)}
        self.stored.append(Stored(id=uuid4(), timestamp=event.timestamp, sent=sent))
        return True
