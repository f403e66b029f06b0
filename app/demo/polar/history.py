"""The shapes of what happened at Polar: orders, and attempts to deliver webhooks."""

from datetime import datetime
from typing import Literal
from uuid import uuid4

from pydantic import UUID4, AwareDatetime, BaseModel, ConfigDict, Field

from app.demo.polar.records import now

OrderStatus = Literal["draft", "pending", "paid", "refunded", "partially_refunded", "void"]


class Order(BaseModel):
    """An order, shown as it was given; only what it can be found by is looked at."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: UUID4
    created_at: AwareDatetime
    status: OrderStatus
    customer_id: UUID4
    product_id: UUID4 | None = None
    subscription_id: UUID4 | None = None


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True)

    created_at: datetime = Field(default_factory=now)
    modified_at: datetime | None = None
    id: UUID4 = Field(default_factory=uuid4)


class WebhookEvent(_Shown):
    """A webhook; its id is the ``webhook-id`` of every attempt to deliver it."""

    last_http_code: int | None = None
    succeeded: bool | None = None
    skipped: bool = False
    payload: str | None
    type: str
    is_archived: bool = False


class WebhookDelivery(_Shown):
    """One attempt to deliver a webhook."""

    succeeded: bool = False
    http_code: int | None = None
    response: str | None = None
    webhook_event: WebhookEvent
