"""The products that Polar returns, with their prices and benefits, as pydantic models."""

from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from pydantic import UUID4, BaseModel, ConfigDict, Field, computed_field

from app.demo.polar.response_models import Record, now


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
    """The fields of a meter that its price includes."""

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


class CreditBenefit(Record):
    """A benefit of a product: with it Polar itself credits units on a meter."""

    type: Literal["meter_credit"] = "meter_credit"
    description: str = "Credits"
    selectable: bool = True
    deletable: bool = True
    is_deleted: bool = False
    visibility: Literal["public"] = "public"
    visibility_configurable: bool = False
    properties: dict[str, Any]


class Product(Record):
    """A product that the merchant sells, once or by subscription. It can only be listed, not bought."""

    name: str = "Product"
    description: str | None = None
    visibility: Literal["public"] = "public"
    trial_interval: str | None = None
    trial_interval_count: int | None = None
    recurring_interval: str | None = None
    recurring_interval_count: int | None = None
    meter_interval: str | None = None
    meter_interval_count: int | None = None
    is_archived: bool = False
    prices: list[FixedPrice | MeteredPrice] = Field(default_factory=list)
    benefits: list[CreditBenefit] = Field(default_factory=list)
    medias: list[Any] = Field(default_factory=list)
    attached_custom_fields: list[Any] = Field(default_factory=list)

    @computed_field  # type: ignore[prop-decorator] # mypy does not support decorated properties
    @property
    def is_recurring(self) -> bool:
        """Return whether it is sold by subscription."""
        return self.recurring_interval is not None
