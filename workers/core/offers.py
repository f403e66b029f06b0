"""Turns a request of the storefront for an offer into a delivery, and that delivery into a plan."""

import json
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from config.rules import Offer, Rules
from workers.core.customers import EXTERNAL_ID, LONGEST_EXTERNAL_ID
from workers.core.grants import KEY, Grant, Part, offer_customer_subject, offer_key_subject
from workers.core.plans import Cap, Plan, Refusal
from workers.core.views import Id, View
from workers.core.wording import utc
from workers.errors import UnreadablePayloadError

# No webhook has this type, and the receiver would not store one that did.
OFFER = "credits.offer"

_Name = Annotated[str, Field(pattern=f"^{KEY}$")]
_ExternalId = Annotated[str, Field(min_length=1, max_length=LONGEST_EXTERNAL_ID, pattern=EXTERNAL_ID)]


class OfferRequest(View):
    """A request to give an offer to a customer, who has one of the two ids.

    ``key`` is the storefront's: a request with a key that was used gives nothing more.
    """

    offer: _Name
    key: _Name
    customer_id: Id | None = None
    external_customer_id: _ExternalId | None = None
    requested_at: AwareDatetime

    @model_validator(mode="after")
    def _has_one_id(self) -> "OfferRequest":
        if (self.customer_id is None) == (self.external_customer_id is None):
            raise ValueError("name the customer by customer_id or by external_customer_id, not by both")
        return self

    @property
    def subject(self) -> str:
        """Return the subject of the fact "this key of the offer was used"."""
        return offer_key_subject(self.offer, self.key)

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery that carries this request."""
        return offer_delivery(self.offer, self.key)

    @property
    def body(self) -> bytes:
        """Return the request in the form of a webhook, so that ``credits show`` can print it like one."""
        data = self.model_dump(mode="json", exclude_none=True)
        whole = {"type": OFFER, "data": data}
        return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


def offer_delivery(offer: str, key: str) -> str:
    """Return the id of the delivery that gives an offer under a key."""
    return f"offer-{offer}:{key}"


def read_offer_request(body: bytes) -> OfferRequest:
    """Return the request in ``body``; UnreadablePayloadError if the body is damaged."""
    try:
        whole: Any = json.loads(body)
        return OfferRequest.model_validate(whole["data"])
    except (ValidationError, ValueError, RecursionError, TypeError, KeyError):
        raise UnreadablePayloadError("the body cannot be read: it is not a request for an offer") from None


def offer_plan(request: OfferRequest, customer_id: str, rules: Rules) -> Plan:
    """Return the plan for a request by the customer with this id."""
    offer = rules.offers.get(request.offer)
    if offer is None:
        skip = f"the rules have no offer {request.offer}"
        return Plan(subject=request.subject, customer_id=customer_id, skip=skip, refusal=Refusal.OFFER)
    if why := _why_closed(offer, request):
        return Plan(subject=request.subject, customer_id=customer_id, skip=why, refusal=Refusal.WINDOW)
    is_once = offer.once_per_customer
    subject = offer_customer_subject(offer.name, customer_id) if is_once else request.subject
    return Plan(
        subject=request.subject,
        customer_id=customer_id,
        grants=tuple(_grants(offer, subject, customer_id, rules)),
        cap=None if is_once else Cap(offer=offer.name, most=offer.most_per_customer),
    )


def unknown_customer_plan(request: OfferRequest) -> Plan:
    """Return the plan for a request by a customer whom Polar does not know."""
    kind = "id" if request.customer_id else "external id"
    skip = f"Polar has no customer with the {kind} {request.customer_id or request.external_customer_id}"
    return Plan(subject=request.subject, skip=skip, refusal=Refusal.CUSTOMER)


def _why_closed(offer: Offer, request: OfferRequest) -> str:
    at = request.requested_at
    if offer.begins is not None and at < offer.begins:
        return f"requested {utc(at)}, before the offer starts at {utc(offer.begins)}"
    if offer.ends is not None and at >= offer.ends:
        return f"requested {utc(at)}, but the offer ended at {utc(offer.ends)}"
    return ""


def _grants(offer: Offer, subject: str, customer_id: str, rules: Rules) -> list[Grant]:
    return [
        Grant(
            subject=subject,
            customer_id=customer_id,
            meter=meter,
            property_name=rules.meters[meter].property,
            parts=(Part(rule=offer.name, units=units),),
        )
        for meter, units in sorted(offer.grant.items())
    ]
