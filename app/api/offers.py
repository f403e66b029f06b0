"""``POST /v1/offers/{offer}``: the storefront gives credits that the rules offer."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.exceptions import RedisError
from starlette.requests import Request

from app.api.answers import GivenOfferAnswer, OfferAnswer, WaitingOfferAnswer
from app.api.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    NotOfferedError,
    UnavailableError,
)
from app.api.gone import until_gone
from app.api.orders import MOST_WAITING, read_wait
from app.receiver.uploads import BodyTooLargeError, IncompleteBodyError, Uploads
from workers.core.credit_status import CreditStatus
from workers.core.customers import EXTERNAL_ID, LONGEST_EXTERNAL_ID
from workers.core.offers import OfferRequest
from workers.core.plans import Refusal
from workers.errors import PolarError, StoreUnavailableError
from workers.store.offers import Disposition, OfferState, OfferStore
from workers.store.orders import Settlements

USUAL_WAIT_SECONDS = 5
_LONGEST_BODY_BYTES = 4096

FindCustomer = Callable[[str], Awaitable[str | None]]
"""Returns Polar's id of the customer with an external id; PolarError if Polar cannot be asked."""


def _naming(id_: str, *, without: str) -> dict[str, Any]:
    named = {id_: {"type": "string"}, without: {"type": "null"}}
    return {"required": [id_], "properties": named}


class OfferBody(BaseModel):
    """Who gets the offer, by one of the two ids, and the storefront's key for it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "oneOf": [
                _naming("customer_id", without="external_customer_id"),
                _naming("external_customer_id", without="customer_id"),
            ],
            "examples": [{"key": "invitation-7", "external_customer_id": "user_42"}],
        },
    )

    key: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="What the credits are for, such as an invitation. Each key gives the offer once.",
    )
    customer_id: str | None = Field(
        None, description="The customer's id at Polar.", json_schema_extra={"format": "uuid"}
    )
    external_customer_id: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_EXTERNAL_ID,
        pattern=EXTERNAL_ID,
        description="The customer's id in the storefront.",
    )


class Offers:
    """Gives offers: stores each request as a delivery, and waits for what becomes of it."""

    def __init__(self, store: OfferStore, settlements: Settlements, find_customer: FindCustomer) -> None:
        self._store = store
        self._settlements = settlements
        self._find_customer = find_customer
        self._uploads = Uploads(_LONGEST_BODY_BYTES)

    async def post(self, request: Request) -> OfferAnswer:
        """Return what the offer gave, at once or when it is settled; ApiError if it gives nothing."""
        seconds = read_wait(request.query_params, usual=USUAL_WAIT_SECONDS)
        wanted = await self._read(request)
        try:
            with self._settlements.watch(wanted.delivery_id) as settled:
                if self._settlements.waiting > MOST_WAITING:
                    seconds = 0
                stands = await until_gone(request, self._give(wanted, settled, seconds))
            await self._check(wanted, stands)
        except StoreUnavailableError:
            raise UnavailableError("the offer cannot be stored now; send the same request again") from None
        except (PolarError, RedisError, OSError):
            raise UnavailableError("Polar cannot be asked now; send the same request again") from None
        return _answer(wanted, stands)

    async def _read(self, request: Request) -> OfferRequest:
        try:
            body = await self._uploads.read(request.headers, request.receive)
        except BodyTooLargeError as error:
            raise InvalidRequestError(str(error)) from None
        except IncompleteBodyError:
            raise InvalidRequestError("the body is incomplete") from None
        try:
            given = OfferBody.model_validate_json(body)
            return OfferRequest(
                offer=request.path_params["offer"],
                **given.model_dump(),
                requested_at=datetime.now(UTC),
            )
        except ValidationError as error:
            raise _problem_of(error) from None

    async def _give(self, wanted: OfferRequest, settled: asyncio.Event, seconds: float) -> OfferState:
        """Store the request; return what stands once it is settled, or after ``seconds``."""
        stands = await self._store.request(wanted)
        disposition = stands.disposition
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while stands.state.status is CreditStatus.WAITING and not self._settlements.is_stopped:
                    await settled.wait()
                    settled.clear()
                    stands = await self._store.find(wanted)
        return replace(stands, disposition=disposition)

    async def _check(self, wanted: OfferRequest, stands: OfferState) -> None:
        """Raise ApiError if the offer was not given to this customer."""
        if stands.disposition is Disposition.UNKNOWN or stands.refusal is Refusal.OFFER:
            raise NotFoundError(f"the rules have no offer {wanted.offer}")
        if not await self._is_same_customer(wanted, stands):
            raise ConflictError(f"the key {wanted.key} was used for another customer")
        if stands.refusal is Refusal.CUSTOMER:
            raise NotFoundError("Polar has no such customer")
        if stands.refusal is not None:
            raise NotOfferedError(stands.state.reason or "the offer is closed")

    async def _is_same_customer(self, wanted: OfferRequest, stands: OfferState) -> bool:
        first = stands.first
        if first and first.customer_id and wanted.customer_id:
            return first.customer_id == wanted.customer_id
        if first and first.external_customer_id and wanted.external_customer_id:
            return first.external_customer_id == wanted.external_customer_id
        given_to = stands.customer_id or (await self._id_of(first) if first else None)
        return await self._id_of(wanted) == given_to

    async def _id_of(self, request: OfferRequest) -> str | None:
        return request.customer_id or await self._find_customer(request.external_customer_id or "")


def _problem_of(error: ValidationError) -> InvalidRequestError | NotFoundError:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    if place == "offer":
        return NotFoundError("an offer has no such name")
    message = first["msg"].removeprefix("Value error, ")
    return InvalidRequestError(f"{place}: {message}" if place else message)


def _answer(wanted: OfferRequest, stands: OfferState) -> OfferAnswer:
    kind = OfferAnswer
    if not stands.state.status.is_settled:
        kind = WaitingOfferAnswer
    elif stands.disposition is Disposition.ACCEPTED and stands.is_given_by_it:
        kind = GivenOfferAnswer if stands.state.status is CreditStatus.GRANTED else OfferAnswer
    return kind.of(wanted.delivery_id, stands.state)
