"""The shapes of what Polar shows: customers, meters, balances, events and products, field by field."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID, uuid4

from pydantic import UUID4, BaseModel, ConfigDict, Field, computed_field

ORGANIZATION_ID = UUID("f753de43-60f3-496e-a967-b48b1af25afa")  # everything here belongs to it


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: UUID4 = Field(default_factory=uuid4)
    created_at: datetime = Field(default_factory=now)
    modified_at: datetime | None = None
    metadata: dict[str, Any] = {}
    organization_id: UUID = ORGANIZATION_ID


class Customer(_Record):
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

    @computed_field  # type: ignore[prop-decorator] # mypy knows no decorated property
    @property
    def billing_name(self) -> str | None:
        """Return the name on invoices."""
        return self.name

    @computed_field  # type: ignore[prop-decorator] # as above
    @property
    def avatar_url(self) -> str:
        """Return where the customer's picture is."""
        digest = sha256(self.email.encode()).hexdigest()
        return f"https://www.gravatar.com/avatar/{digest}?d=404"


class Meter(_Record):
    """A meter: whatever it is, it is shown; it adds up only if it sums over the events of one name."""

    name: str
    unit: Literal["scalar"] = "scalar"
    custom_label: None = None
    custom_multiplier: None = None
    filter: dict[str, Any]
    aggregation: dict[str, str]
    archived_at: datetime | None = None

    @property
    def summed(self) -> str:
        """Return the metadata property that it is about; empty where it is about none."""
        return self.aggregation.get("property", "")

    def adds_up(self, name: str) -> bool:
        """Say whether it sums over the events of that name."""
        return self.filter == by_name(name) and self.aggregation["func"] == "sum"


def by_name(name: str) -> dict[str, Any]:
    """Return the filter that lets the events of one name pass."""
    return {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": name}]}


class CustomerMeter(BaseModel):
    """What one customer used and has left on one meter."""

    id: UUID
    created_at: datetime
    modified_at: datetime | None
    customer_id: UUID
    meter_id: UUID
    consumed_units: float
    credited_units: int = 0  # only Polar's own Meter Credits benefit credits; ingesting consumes
    balance: float
    customer: Customer
    meter: Meter


class UserEvent(BaseModel):
    """An ingested event; its ``external_id`` is not shown."""

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


class _Price(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: UUID4 = Field(default_factory=uuid4)
    created_at: datetime = Field(default_factory=now)
    modified_at: datetime | None = None
    source: Literal["catalog"] = "catalog"
    price_currency: str = "usd"
    tax_behavior: None = None
    is_archived: bool = False
    product_id: UUID4


class FixedPrice(_Price):
    """An amount for each purchase or period."""

    amount_type: Literal["fixed"] = "fixed"
    type: Literal["one_time", "recurring"]
    recurring_interval: str | None
    price_amount: int


class PricedMeter(BaseModel):
    """What a price shows of its meter."""

    id: UUID4
    name: str
    unit: Literal["scalar"] = "scalar"
    custom_label: None = None
    custom_multiplier: None = None


class MeteredPrice(_Price):
    """An amount for each unit on a meter."""

    amount_type: Literal["metered_unit"] = "metered_unit"
    unit_amount: str = "1"
    cap_amount: None = None
    meter_id: UUID4
    meter: PricedMeter


class CreditBenefit(_Record):
    """Units on a meter that Polar itself gives with a product."""

    type: Literal["meter_credit"] = "meter_credit"
    description: str = "Credits"
    selectable: bool = True
    deletable: bool = True
    is_deleted: bool = False
    visibility: Literal["public"] = "public"
    visibility_configurable: bool = False
    properties: dict[str, Any]


class Product(_Record):
    """Something that the merchant sells, once or by the period; it is shown, and nobody can buy it here."""

    name: str = "Product"
    description: str | None = None
    visibility: Literal["public"] = "public"
    trial_interval: str | None = None
    trial_interval_count: int | None = None
    recurring_interval: str | None = None
    recurring_interval_count: int | None = None
    meter_interval: None = None
    meter_interval_count: None = None
    is_archived: bool = False
    prices: list[FixedPrice | MeteredPrice] = []
    benefits: list[CreditBenefit] = []
    medias: list[Any] = []
    attached_custom_fields: list[Any] = []

    @computed_field  # type: ignore[prop-decorator] # as above
    @property
    def is_recurring(self) -> bool:
        """Return whether it is sold by the period."""
        return self.recurring_interval is not None
