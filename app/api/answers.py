"""The bodies of the API's answers; the OpenAPI description is made from these types."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from workers.core.credit_status import CreditState, CreditStatus
from workers.core.upcoming import Upcoming
from workers.core.wording import plain
from workers.operations.credits.reader import CustomerCredits, MeterCredits, Source


def _number(credits_: Decimal) -> int | float:
    text = plain(credits_)
    return float(text) if "." in text else int(text)


Credits = Annotated[Decimal, PlainSerializer(_number), WithJsonSchema({"type": "number"})]
Meters = Annotated[dict[str, Credits], Field(description="Credits by meter.")]


class Answer(BaseModel):
    """A body that the API answers."""

    model_config = ConfigDict(frozen=True)

    http_status: ClassVar[int] = 200

    def dump(self) -> Any:
        """Return the body as JSON values."""
        return self.model_dump(mode="json")


class ErrorAnswer(Answer):
    """What is wrong, for programs and for people."""

    error: str = Field(description="A code that does not change.")
    detail: str = Field(description="What is wrong, and what to do next.")


class Instalment(Answer):
    """Credits that an order is to give later, as long as its subscription goes on."""

    at: datetime
    credits: Meters


class MeterAnswer(Answer):
    """A customer's credits on one meter."""

    balance: Credits | None = Field(
        description="What is left: negative if more was used than given; null where Polar shows none yet."
    )
    as_of: datetime = Field(description="The time of the balance.")
    source: Source = Field(
        description="`live`: the sum of all events at that time. `polar`: Polar's own number, which lags."
    )
    granted: Credits = Field(description="What credit-granter gave in all; positive.")
    taken_back: Credits = Field(description="How much of it was taken back; positive.")

    @classmethod
    def of(cls, one: MeterCredits) -> "MeterAnswer":
        """Return the answer that describes ``one``."""
        return cls(
            balance=one.balance,
            as_of=one.as_of,
            source=one.source,
            granted=one.granted,
            taken_back=one.taken_back,
        )


class CustomerAnswer(Answer):
    """What a customer has on each meter."""

    customer_id: str = Field(description="The customer's id at Polar.")
    external_id: str | None = Field(description="The customer's id in the storefront.")
    meters: dict[str, MeterAnswer] = Field(description="By the name of the meter in the rules.")

    @classmethod
    def of(cls, credits_: CustomerCredits) -> "CustomerAnswer":
        """Return the answer that describes ``credits_``."""
        return cls(
            customer_id=credits_.customer_id,
            external_id=credits_.external_id,
            meters={name: MeterAnswer.of(one) for name, one in credits_.meters.items()},
        )


class OfferAnswer(Answer):
    """What stands under a key of an offer: it was given before, or it was not given."""

    delivery: str = Field(description="The id under which operators find it.")
    status: CreditStatus
    credits: Meters = Field(description="What was given, by meter; positive.")
    reason: str | None = Field(description="Why it was not given.")

    @classmethod
    def of(cls, delivery: str, state: CreditState) -> Self:
        """Return the answer that describes the ``state`` of a delivery."""
        return cls(delivery=delivery, status=state.status, credits=dict(state.credits), reason=state.reason)


class GivenOfferAnswer(OfferAnswer):
    """The offer was given just now."""

    http_status: ClassVar[int] = 201


class WaitingOfferAnswer(OfferAnswer):
    """The request is stored, and its credits are on their way."""

    http_status: ClassVar[int] = 202


class OrderAnswer(Answer):
    """How far the credits of an order have come."""

    order_id: str = Field(description="The order's id at Polar.")
    status: CreditStatus = Field(
        description="`unknown`: no webhook about the order was read yet. `waiting`: its credits are on their "
        "way. `granted`, `skipped` and `failed` are final, until an operator replays the webhook."
    )
    credits: Meters = Field(description="What was given so far, by meter; positive.")
    taken_back: Meters = Field(description="How much of it was taken back, by meter; positive.")
    upcoming: list[Instalment] = Field(
        description="What is to be given later, the next first: what was refunded so far is subtracted."
    )
    reason: str | None = Field(description="Why the order is skipped or has failed.")
    granted_at: datetime | None = Field(description="When Polar confirmed the newest of its credits.")

    @classmethod
    def of(cls, order_id: str, state: CreditState) -> "OrderAnswer":
        """Return the answer that describes the ``state`` of an order."""
        return cls(
            order_id=order_id,
            status=state.status,
            credits=dict(state.credits),
            taken_back=dict(state.taken_back),
            upcoming=_instalments(state.upcoming),
            reason=state.reason,
            granted_at=state.granted_at,
        )


def _instalments(upcoming: Iterable[Upcoming]) -> list[Instalment]:
    """Return what is to come at each time; each meter has at most one instalment at a time."""
    by_time: dict[datetime, dict[str, Decimal]] = {}
    for one in upcoming:
        by_time.setdefault(one.at, {})[one.grant.meter] = one.grant.units
    return [Instalment(at=at, credits=credits_) for at, credits_ in by_time.items()]
