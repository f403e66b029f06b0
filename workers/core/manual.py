"""Turns a person's request to grant or take back credits into a delivery, and that delivery into a plan."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from config.cel.numbers import CREDITS_LIMIT
from workers.core.claims import Claim, Revoke
from workers.core.grants import (
    KEY,
    LONGEST_TEXT,
    NO_RULE,
    Grant,
    Part,
    manual_delivery,
    manual_key,
    manual_subject,
    order_subject,
)
from workers.core.plans import Plan
from workers.core.views import Id, View
from workers.core.wording import credits_text, utc
from workers.errors import UnreadablePayloadError

# No webhook has these types, and the receiver would not store one that did.
MANUAL_GRANT = "manual.grant"
MANUAL_REVOKE = "manual.revoke"


Text = Annotated[str, Field(min_length=1)]


Request = TypeVar("Request", bound=View)


class ManualGrant(View):
    """A request to grant credits by hand. The caller has looked up the customer and the meter's property.

    ``customer`` is the customer's name as the person gave it, escaped for the key.
    """

    key: Annotated[str, Field(pattern=f"^{KEY}$")]
    customer: Text
    customer_id: Id
    meter: Text
    property_name: Text
    units: Annotated[Decimal, Field(gt=0, lt=CREDITS_LIMIT)]
    reason: Annotated[str, Field(max_length=LONGEST_TEXT)] = ""

    @property
    def subject(self) -> str:
        """Return the grant's subject, which is also its key in the ledger and at Polar."""
        return manual_subject(self.key, self.customer, self.meter)

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery that carries this request."""
        return manual_delivery(self.subject)

    def delivery(self) -> tuple[str, str, bytes]:
        """Return the delivery that carries this request: id, type, body."""
        return self.delivery_id, MANUAL_GRANT, _body(MANUAL_GRANT, self)

    def plan(self) -> Plan:
        """Return the plan for this request. Rules do not apply to it."""
        grant = Grant(
            subject=self.subject,
            customer_id=self.customer_id,
            meter=self.meter,
            property_name=self.property_name,
            parts=(Part(rule=NO_RULE, units=self.units),),
            reason=self.reason,
        )
        return Plan(subject=self.subject, customer_id=self.customer_id, grants=(grant,))


class ManualRevoke(View):
    """A request to take back an order's credits on ``meter``; on all meters if that is None."""

    order_id: Id
    customer_id: Id
    meter: Text | None = None

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery that carries this request."""
        return f"revoke-{self.order_id}" + (f":{self.meter}" if self.meter else "")

    def delivery(self) -> tuple[str, str, bytes]:
        """Return the delivery that carries this request: id, type, body."""
        return self.delivery_id, MANUAL_REVOKE, _body(MANUAL_REVOKE, self)

    def plan(self) -> Plan:
        """Return the plan for this request: no grants, but a revoke of the order's credits."""
        return Plan(
            subject=order_subject(self.order_id),
            customer_id=self.customer_id,
            order_id=self.order_id,
            revoke=Revoke(meter=self.meter),
        )


def used_key_text(claim: Claim) -> str:
    """Return what a manual grant's key has granted: ``key beta already granted 5 api_usage at ...``."""
    key = manual_key(claim.subject)
    return f"key {key} already granted {credits_text(claim.grants)} at {utc(claim.claimed_at)}"


def other_amount_text(claim: Claim) -> str:
    """Return why the key of ``claim`` cannot be used for another amount."""
    return f"{used_key_text(claim)}; use another key for another amount"


def _body(type_: str, request: View) -> bytes:
    """Return the request in the form of a webhook, so that ``credits show`` can print it like one."""
    whole = {"type": type_, "data": request.model_dump(mode="json")}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


def read_request(body: bytes, shape: type[Request]) -> Request:
    """Return the request in ``body``; UnreadablePayloadError if the body is damaged."""
    try:
        whole: Any = json.loads(body)
        return shape.model_validate(whole["data"])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise UnreadablePayloadError(f"the body cannot be read: {first['loc']}: {first['msg']}") from None
    except (ValueError, RecursionError, TypeError, KeyError):
        raise UnreadablePayloadError("the body cannot be read: it is not a request made by hand") from None


MANUAL_PLANS: Mapping[str, Callable[[bytes], Plan]] = {
    MANUAL_GRANT: lambda body: read_request(body, ManualGrant).plan(),
    MANUAL_REVOKE: lambda body: read_request(body, ManualRevoke).plan(),
}
"""For each type of manual delivery, the function that turns its body into its plan."""
