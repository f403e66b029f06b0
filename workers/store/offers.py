"""Stores the storefront's requests for offers, and tells what became of them."""

from enum import StrEnum
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from workers.core.credit_status import CreditState, credit_state
from workers.core.offers import OFFER, OfferRequest, read_offer_request
from workers.core.plans import Refusal
from workers.errors import StoreUnavailableError, UnreadablePayloadError
from workers.store import keys
from workers.store.bodies import compress_body, decompress_body
from workers.store.ledger_hashes import read_standing
from workers.store.orders import delivery_of
from workers.store.queue import drain_job_args
from workers.store.redis_errors import describe_redis_error
from workers.store.scripts import load_script


class Disposition(StrEnum):
    """What became of a request."""

    ACCEPTED = "accepted"
    """It is stored, and a worker will process it."""
    KNOWN = "known"
    """Its key was used before."""
    UNKNOWN = "unknown"
    """The rules in force have no such offer."""


class OfferState(Struct, frozen=True, kw_only=True):
    """What stands under a key of an offer."""

    disposition: Disposition
    state: CreditState
    customer_id: str | None
    """Who got it, by Polar's id; None if nobody has yet, or if Polar knows no such customer."""
    is_given_by_it: bool
    """Whether this key's request gave it, and not another one for the same customer."""
    first: OfferRequest | None
    """The request that counts; None if its body was erased or has expired."""
    refusal: Refusal | None


class OfferStore:
    """The requests for offers in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._request = redis.register_script(load_script("request_offer"))

    async def request(self, request: OfferRequest) -> OfferState:
        """Store a request, unless its key was used; return what stands. Raises StoreUnavailableError."""
        return await self._run(request, compress_body(request.body))

    async def find(self, request: OfferRequest) -> OfferState:
        """Return what stands under a request's key."""
        return await self._run(request, b"")

    async def _run(self, request: OfferRequest, body: bytes) -> OfferState:
        try:
            answer = await self._request(
                keys=[keys.DUE, keys.RULES, request.subject],
                args=[
                    keys.DELIVERY,
                    keys.BODY,
                    keys.DELIVERIES,
                    request.delivery_id,
                    OFFER,
                    body,
                    request.offer,
                    *drain_job_args(),
                ],
            )
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(describe_redis_error(error)) from error
        return _read(request, answer)


def _read(request: OfferRequest, answer: Any) -> OfferState:
    disposition, fact, by_customer, delivery, body = answer
    others = (by_customer,) if by_customer else ()
    standing = read_standing(request.subject, (fact, *others))
    claims = [claim for claim in standing.claims if claim.grants]
    deliveries = [delivery_of(request.delivery_id.encode(), delivery)] if delivery else []
    customers = [grant.customer_id for claim in claims for grant in claim.grants]
    customers += [one.customer_id for one in deliveries if one.customer_id]
    refusals = [one.refusal for one in deliveries if one.refusal]
    return OfferState(
        disposition=Disposition(disposition.decode()),
        state=credit_state(claims, deliveries),
        customer_id=customers[0] if customers else None,
        is_given_by_it=any(claim.delivery_id == request.delivery_id for claim in claims),
        first=_first(body),
        refusal=Refusal(refusals[0]) if refusals else None,
    )


def _first(body: bytes) -> OfferRequest | None:
    try:
        return read_offer_request(decompress_body(body))
    except UnreadablePayloadError:
        return None
