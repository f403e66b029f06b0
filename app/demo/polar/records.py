"""The shapes of what Polar shows: customers, meters, balances and events, field by field."""

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
    """A meter that sums one metadata property over the events that bear its name."""

    name: str
    summed: str = Field("units", exclude=True)
    unit: Literal["scalar"] = "scalar"
    custom_label: None = None
    custom_multiplier: None = None
    archived_at: None = None

    @computed_field  # type: ignore[prop-decorator] # as above
    @property
    def filter(self) -> dict[str, Any]:
        """Return which events count."""
        clause = {"property": "name", "operator": "eq", "value": self.name}
        return {"conjunction": "and", "clauses": [clause]}

    @computed_field  # type: ignore[prop-decorator] # as above
    @property
    def aggregation(self) -> dict[str, str]:
        """Return what is done with the events that count."""
        return {"func": "sum", "property": self.summed}


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
