"""The state of one organization at the stand-in for Polar, and the balances computed from its events."""

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4, uuid5

from msgspec import Struct

from app.demo.polar.faults import Fault
from app.demo.polar.product_models import Product
from app.demo.polar.request_models import EventCreate, EventCreateCustomer
from app.demo.polar.response_models import (
    ActiveMeter,
    Customer,
    CustomerMeter,
    CustomerState,
    Dispute,
    Meter,
    Order,
    Subscription,
    UserEvent,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
    is_number,
    name_filter,
    now,
)

SCOPES = frozenset(
    {
        "customer_meters:read",
        "customers:read",
        "customers:write",
        "disputes:read",
        "events:read",
        "events:write",
        "meters:read",
        "orders:read",
        "products:read",
        "subscriptions:read",
        "webhooks:read",
    }
)
SETUP_SCOPES = SCOPES | {"meters:write", "webhooks:write"}
"""What `credits init` needs besides: it creates the webhook endpoint, and a meter if asked."""
WINDOW_SECONDS = 60  # of the rate limit
# Both limits were measured; Polar documents neither. The likely reasons: a statement has at most 32,767
# parameters, seven to a row; an index entry has at most about 2,700 bytes.
MOST_METERED_ROWS = 4_681
MOST_EXTERNAL_ID_CHARACTERS = 2_600


class StatementTooLargeError(Exception):
    """Polar's database refuses the statement. Polar does not expect that, and answers 500."""


class IngestAttempt(Struct, frozen=True, kw_only=True):
    """One attempt to ingest: its events as sent (none if unreadable), and the answer's status."""

    at: datetime
    events: Sequence[Any]
    status: int


class StoredEvent(Struct, frozen=True, kw_only=True):
    """One event as Polar stores it; ``sent`` is what the client sent, with its ``external_id``."""

    id: UUID
    timestamp: datetime
    """In whole milliseconds: Polar keeps no finer ones."""
    arrived: float
    """When it arrived, by the organization's clock."""
    sent: dict[str, Any]

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the metadata; empty if none was sent."""
        metadata: dict[str, Any] = self.sent.get("metadata", {})
        return metadata

    def to_model(self, owner: Customer | None) -> UserEvent:
        """Return this event as the API returns it."""
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

    def belongs_to(self, customer: Customer) -> bool:
        """Return whether this event is for ``customer``, by Polar's id or by the merchant's."""
        if "external_customer_id" in self.sent:
            return bool(self.sent["external_customer_id"] == customer.external_id)
        return bool(self.sent["customer_id"] == str(customer.id))


@dataclass(kw_only=True)
class Polar:
    """One organization at Polar: its customers, catalogue, orders and events."""

    token: str = "polar_oat_standin"  # noqa: S105 # made up; it protects nothing
    scopes: frozenset[str] = SCOPES
    requests_per_minute: int = 500  # Polar's limit in production
    faults: deque[Fault] = field(default_factory=deque)
    clock: Callable[[], float] = time.monotonic
    ahead: timedelta = timedelta()
    """How far its calendar is ahead of this host's; it dates its answers and new events."""
    list_lag: float = 0
    """After how many seconds the list of events shows an event. Balances and quantities show it at once."""
    customers: dict[str, Customer] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    products: list[Product] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    disputes: list[Dispute] = field(default_factory=list)
    endpoints: list[WebhookEndpoint] = field(default_factory=list)
    deliveries: list[WebhookDelivery] = field(default_factory=list)
    stored: list[StoredEvent] = field(default_factory=list, init=False)
    received: list[IngestAttempt] = field(default_factory=list, init=False)
    _external_ids: set[str] = field(default_factory=set, init=False)
    _arrivals: deque[float] = field(default_factory=deque, init=False)

    def now(self) -> datetime:
        """Return the present moment by its calendar."""
        return now() + self.ahead

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the stored events as they were sent, each with its ``external_id``, oldest first."""
        return [event.sent for event in self.stored]

    def add_customer(self, customer_id: UUID | str | None = None, **fields: Any) -> Customer:
        """Add a customer; ValidationError if ``customer_id`` is not a UUID of version 4."""
        identity = uuid4() if customer_id is None else customer_id
        fields.setdefault("email", f"{identity}@example.com")
        customer = Customer.model_validate({"id": identity, **fields})
        self.customers[str(customer.id)] = customer
        return customer

    def add_meter(self, name: str, summed: str = "units", **fields: Any) -> Meter:
        """Add a meter that sums ``summed`` over the events named ``name``; ``fields`` override that."""
        usual = {"filter": name_filter(name), "aggregation": {"func": "sum", "property": summed}}
        self.meters[name] = Meter.model_validate({"name": name, **usual, **fields})
        return self.meters[name]

    def add_product(self, **fields: Any) -> Product:
        """Add a product; ValidationError if Polar cannot have such a product."""
        self.products.append(Product.model_validate(fields))
        return self.products[-1]

    def add_order(self, **fields: Any) -> Order:
        """Add an order or replace the one with its id; ValidationError if Polar cannot have such an order."""
        order = Order.model_validate(fields)
        self.orders[str(order.id)] = order
        return order

    def add_subscription(self, **fields: Any) -> Subscription:
        """Add a subscription or replace the one with its id. It makes no order and sends no webhook."""
        subscription = Subscription.model_validate(fields)
        self.subscriptions[str(subscription.id)] = subscription
        return subscription

    def add_dispute(self, order_id: UUID | str, **fields: Any) -> Dispute:
        """Add a dispute of the order; it was lost unless ``fields`` say otherwise."""
        order = self.orders[str(order_id)]
        customer = self.customers[str(order.customer_id)]
        self.disputes.append(Dispute.model_validate({"order_id": order.id, "customer": customer, **fields}))
        return self.disputes[-1]

    def add_endpoint(self, **fields: Any) -> WebhookEndpoint:
        """Add a webhook endpoint; ValidationError if Polar cannot have such an endpoint."""
        self.endpoints.append(WebhookEndpoint.model_validate(fields))
        return self.endpoints[-1]

    def change_endpoint(self, endpoint: WebhookEndpoint, **fields: Any) -> WebhookEndpoint:
        """Change an endpoint; it keeps the fields that are not given."""
        changed = endpoint.model_copy(update={**fields, "modified_at": self.now()})
        self.endpoints[self.endpoints.index(endpoint)] = changed
        return changed

    def add_delivery(self, webhook_id: UUID | str, body: bytes, **fields: Any) -> WebhookDelivery:
        """Add an attempt to deliver a webhook; it has failed unless ``fields`` say otherwise."""
        event = {"id": webhook_id, "payload": body.decode(), "type": json.loads(body)["type"]}
        webhook = WebhookEvent.model_validate(event)
        self.deliveries.append(WebhookDelivery.model_validate({"webhook_event": webhook, **fields}))
        return self.deliveries[-1]

    def admits(self) -> bool:
        """Return whether one more request is within the rate limit, and if so count it."""
        now = self.clock()
        while self._arrivals and now - self._arrivals[0] >= WINDOW_SECONDS:
            self._arrivals.popleft()
        if len(self._arrivals) >= self.requests_per_minute:
            return False
        self._arrivals.append(now)
        return True

    def unknown_customers(self, batch: Sequence[EventCreate]) -> dict[int, str]:
        """Return the unknown customer ids of ``batch`` by the index of their event."""
        return {
            index: str(event.customer_id)
            for index, event in enumerate(batch)
            if isinstance(event, EventCreateCustomer) and str(event.customer_id) not in self.customers
        }

    def ingest(self, batch: Sequence[EventCreate]) -> dict[str, int]:
        """Store ``batch`` except duplicates; return how many are new and how many are duplicates.

        Raises StatementTooLargeError, and then stores nothing.
        """
        if sum(self._is_metered(event.name) for event in batch) > MOST_METERED_ROWS:
            raise StatementTooLargeError
        if any(len(event.external_id or "") > MOST_EXTERNAL_ID_CHARACTERS for event in batch):
            raise StatementTooLargeError
        inserted = sum(self._store(event) for event in batch)
        return {"inserted": inserted, "duplicates": len(batch) - inserted}

    def balance(self, customer_id: UUID | str, meter: str) -> Decimal:
        """Return the credits that were sent and are left, exactly; KeyError for an unknown customer or meter.

        Polar shows a sum of binary floats instead: ``Meter.sum``.
        """
        customer, summed = self.customers[str(customer_id)], self.meters[meter].summed_property
        values = (event.metadata.get(summed) for event in self.metered(customer, self.meters[meter]))
        return -sum((Decimal(str(v)) for v in values if is_number(v)), Decimal(0))

    def customer_meter(self, customer: Customer, meter: Meter) -> CustomerMeter | None:
        """Return the balance as the API returns it; None before the first event."""
        events = self.metered(customer, meter)
        if not events:
            return None
        consumed = meter.sum(event.metadata for event in events)
        return CustomerMeter(
            id=uuid5(customer.id, str(meter.id)),
            created_at=events[0].timestamp,
            modified_at=events[-1].timestamp,
            customer_id=customer.id,
            meter_id=meter.id,
            consumed_units=consumed,
            balance=0 - consumed,
            customer=customer,
            meter=meter,
        )

    def state_of(self, customer: Customer) -> CustomerState:
        """Return the customer's state as the API returns it."""
        balances = [self.customer_meter(customer, meter) for meter in self.meters.values()]
        return CustomerState(
            **{name: getattr(customer, name) for name in Customer.model_fields},
            active_meters=[ActiveMeter.model_validate(one, from_attributes=True) for one in balances if one],
        )

    def metered(self, customer: Customer, meter: Meter) -> list[StoredEvent]:
        """Return the customer's events that the meter counts."""
        return [
            event for event in self.stored if meter.counts(event.sent["name"]) and event.belongs_to(customer)
        ]

    def listed(self) -> list[StoredEvent]:
        """Return the events that the list shows by now."""
        return [event for event in self.stored if self.clock() - event.arrived >= self.list_lag]

    def owner(self, event: StoredEvent) -> Customer | None:
        """Return the event's customer; None while no customer has its external id."""
        if "customer_id" in event.sent:
            return self.customers[event.sent["customer_id"]]
        return next((c for c in self.customers.values() if event.belongs_to(c)), None)

    def _is_metered(self, name: str) -> bool:
        return any(meter.counts(name) for meter in self.meters.values())

    def _store(self, event: EventCreate) -> bool:
        if event.external_id is not None:
            if event.external_id in self._external_ids:
                return False
            self._external_ids.add(event.external_id)
        sent = {"external_id": None, **event.model_dump(mode="json", exclude_unset=True)}
        moment = event.timestamp if "timestamp" in event.model_fields_set else self.now()
        timestamp = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        self.stored.append(StoredEvent(id=uuid4(), timestamp=timestamp, arrived=self.clock(), sent=sent))
        return True
