"""What Polar returns, as pydantic models: customers, meters, balances, events, orders, webhook deliveries."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, TypeGuard
from uuid import UUID, uuid4

from pydantic import UUID4, AwareDatetime, BaseModel, ConfigDict, Field, computed_field

ORGANIZATION_ID = UUID("f753de43-60f3-496e-a967-b48b1af25afa")  # every record belongs to it

OrderStatus = Literal["draft", "pending", "paid", "refunded", "partially_refunded", "void"]
DisputeStatus = Literal["prevented", "early_warning", "needs_response", "under_review", "lost", "won"]


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """The fields that most of Polar's records share."""

    model_config = ConfigDict(frozen=True)

    id: UUID4 = Field(default_factory=uuid4)
    created_at: datetime = Field(default_factory=now)
    modified_at: datetime | None = None
    metadata: dict[str, Any] = {}
    organization_id: UUID = ORGANIZATION_ID


class Customer(Record):
    """A customer of the merchant."""

    external_id: str | None = None
    email: str
    email_verified: bool = False
    type: Literal["individual"] = "individual"
    name: str | None = None
    billing_address: None = None
    tax_id: None = None
    locale: None = None
    default_payment_method_id: None = None
    deleted_at: None = None
    first_user_event_at: None = None

    @computed_field  # type: ignore[prop-decorator] # mypy does not support decorated properties
    @property
    def billing_name(self) -> str | None:
        """Return the name on invoices."""
        return self.name

    @computed_field  # type: ignore[prop-decorator] # as above
    @property
    def avatar_url(self) -> str:
        """Return the URL of the customer's picture."""
        digest = sha256(self.email.encode()).hexdigest()
        return f"https://www.gravatar.com/avatar/{digest}?d=404"


class ActiveMeter(BaseModel):
    """A customer's balance on one meter, as the customer's state shows it."""

    id: UUID
    created_at: datetime
    modified_at: datetime | None
    meter_id: UUID
    consumed_units: float
    credited_units: int = 0
    balance: float


class CustomerState(Customer):
    """A customer with their balances; the stand-in shows neither subscriptions nor benefits there."""

    active_subscriptions: tuple[()] = ()
    granted_benefits: tuple[()] = ()
    active_meters: list[ActiveMeter]


class Meter(Record):
    """A meter. The stand-in lists every meter, but computes balances only for sums over one event name."""

    name: str
    unit: Literal["scalar"] = "scalar"
    custom_label: None = None
    custom_multiplier: None = None
    filter: dict[str, Any]
    aggregation: dict[str, str]
    archived_at: datetime | None = None

    @property
    def summed_property(self) -> str:
        """Return the metadata property that it aggregates; empty if it aggregates none."""
        return self.aggregation.get("property", "")

    def counts(self, name: str) -> bool:
        """Return whether it sums over the events named ``name``."""
        return self.filter == name_filter(name) and self.aggregation["func"] == "sum"

    def sum(self, metadata: Iterable[Mapping[str, Any]]) -> float:
        """Return the sum of what it counts, as binary floats add up; what is no number is ignored."""
        total = 0.0
        for one in metadata:  # not sum(), which compensates for what is lost since Python 3.12
            value = one.get(self.summed_property)
            total += value if is_number(value) else 0
        return total


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether Polar's meters count ``value``; they do not count booleans and texts."""
    return type(value) in {int, float}


def name_filter(name: str) -> dict[str, Any]:
    """Return the meter filter that selects the events of one name."""
    return {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": name}]}


class CustomerMeter(BaseModel):
    """What one customer has consumed, and has left, on one meter."""

    id: UUID
    created_at: datetime
    modified_at: datetime | None
    customer_id: UUID
    meter_id: UUID
    consumed_units: float
    credited_units: int = (
        0  # set only by Polar's own Meter Credits benefit; ingested events count as consumed
    )
    balance: float
    customer: Customer
    meter: Meter


class Quantity(BaseModel):
    """The sum of a meter over one interval."""

    timestamp: datetime
    quantity: float


class Quantities(BaseModel):
    """The sums of a meter over some intervals, and over all of them."""

    quantities: list[Quantity]
    total: float


class UserEvent(BaseModel):
    """An ingested event; Polar does not return its ``external_id``."""

    id: UUID
    timestamp: datetime
    organization_id: UUID = ORGANIZATION_ID
    customer_id: UUID | None
    customer: Customer | None
    external_customer_id: str | None
    member_id: None = None
    external_member_id: None = None
    child_count: int = 0
    parent_id: None = None
    label: str
    name: str
    source: Literal["user"] = "user"
    metadata: dict[str, Any]


class Order(BaseModel):
    """An order, returned as it was added; only the fields that filters use are validated."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: UUID4
    created_at: AwareDatetime
    status: OrderStatus
    customer_id: UUID4
    product_id: UUID4 | None = None
    subscription_id: UUID4 | None = None


class Subscription(BaseModel):
    """A subscription, returned as it was added; only the fields that filters use are validated."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: UUID4
    started_at: AwareDatetime
    status: str
    customer_id: UUID4
    product_id: UUID4


class Dispute(BaseModel):
    """A payment that the customer's bank challenges; its ``amount`` is without the ``tax_amount``."""

    model_config = ConfigDict(frozen=True)

    created_at: datetime = Field(default_factory=now)
    modified_at: datetime | None = None
    id: UUID4 = Field(default_factory=uuid4)
    status: DisputeStatus = "lost"
    amount: int
    tax_amount: int = 0
    currency: str = "usd"
    reason: str | None = "fraudulent"
    evidence_due_by: datetime | None = None
    past_due: bool = False
    order_id: UUID4
    payment_id: UUID4 = Field(default_factory=uuid4)
    customer: Customer
    case_id: UUID4 | None = None

    @computed_field  # type: ignore[prop-decorator] # mypy does not support decorated properties
    @property
    def resolved(self) -> bool:
        """Return whether it was won or lost."""
        return self.status in {"won", "lost"}

    @computed_field  # type: ignore[prop-decorator] # as above
    @property
    def closed(self) -> bool:
        """Return whether it was prevented, won or lost."""
        return self.resolved or self.status == "prevented"


class _WebhookRecord(BaseModel):
    model_config = ConfigDict(frozen=True)

    created_at: datetime = Field(default_factory=now)
    modified_at: datetime | None = None
    id: UUID4 = Field(default_factory=uuid4)


class WebhookEndpoint(_WebhookRecord):
    """Where Polar sends webhooks, and which."""

    url: str
    name: str | None = None
    format: Literal["raw", "discord", "slack"] = "raw"
    secret: str
    organization_id: UUID = ORGANIZATION_ID
    events: list[str]
    enabled: bool = True


class WebhookEvent(_WebhookRecord):
    """A webhook; its id is the ``webhook-id`` header of every attempt to deliver it."""

    last_http_code: int | None = None
    succeeded: bool | None = None
    skipped: bool = False
    payload: str | None
    type: str
    is_archived: bool = False


class WebhookDelivery(_WebhookRecord):
    """One attempt to deliver a webhook."""

    succeeded: bool = False
    http_code: int | None = None
    response: str | None = None
    webhook_event: WebhookEvent
