"""The bodies of the API's answers; the OpenAPI description is made from these types."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from workers.core.order_status import OrderState, OrderStatus
from workers.core.wording import plain


def _number(credits_: Decimal) -> int | float:
    text = plain(credits_)
    return float(text) if "." in text else int(text)


Credits = Annotated[Decimal, PlainSerializer(_number), WithJsonSchema({"type": "number"})]
Meters = Annotated[dict[str, Credits], Field(description="Credits by meter.")]


class Answer(BaseModel):
    """A body that the API answers."""

    model_config = ConfigDict(frozen=True)

    def dump(self) -> Any:
        """Return the body as JSON values."""
        return self.model_dump(mode="json")


class ErrorAnswer(Answer):
    """What is wrong, for programs and for people."""

    error: str = Field(description="A code that does not change.")
    detail: str = Field(description="What is wrong, and what to do next.")


class Instalment(Answer):
    """Credits that an order will give later."""

    at: datetime
    credits: Meters


class OrderAnswer(Answer):
    """How far the credits of an order have come."""

    order_id: str = Field(description="The order's id at Polar.")
    status: OrderStatus = Field(
        description="`unknown`: no webhook about the order was read yet. `waiting`: its credits are on their "
        "way. `granted`, `skipped` and `failed` are final, until an operator replays the webhook."
    )
    credits: Meters = Field(description="What was given so far, by meter; positive.")
    taken_back: Meters = Field(description="What of it was taken back, by meter; positive.")
    upcoming: list[Instalment] = Field(description="What will be given later, the next first.")
    reason: str | None = Field(description="Why the order is skipped or has failed.")
    granted_at: datetime | None = Field(description="When Polar confirmed the newest of its credits.")

    @classmethod
    def of(cls, state: OrderState) -> "OrderAnswer":
        """Return the answer that describes ``state``."""
        return cls(
            order_id=state.order_id,
            status=state.status,
            credits=dict(state.credits),
            taken_back=dict(state.taken_back),
            upcoming=[],
            reason=state.reason,
            granted_at=state.granted_at,
        )
