"""PURE: credits given and taken back by hand, as stored deliveries: what was asked, its body, its plan."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.cel.amounts import CREDITS_LIMIT
from workers.core.claims import Revoke
from workers.core.grants import (
    KEY,
    LONGEST_TEXT,
    NO_RULE,
    Grant,
    Part,
    manual_delivery,
    manual_subject,
    order_subject,
)
from workers.core.payloads import Id
from workers.core.planning import Plan
from workers.errors import UnreadablePayloadError

# No webhook has these types: none that says so is stored.
MANUAL_GRANT = "manual.grant"
MANUAL_REVOKE = "manual.revoke"


Text = Annotated[str, Field(min_length=1)]


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


Asked = TypeVar("Asked", bound=_Asked)


class ManualGrant(_Asked):
    """Credits that somebody gives a customer; who asks has looked up the customer and the meter's property.

    ``customer`` is how they were named, as it stands in the key.
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
        """Return the business fact, which is the key in the ledger and at Polar too."""
        return manual_subject(self.key, self.customer, self.meter)

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery that it is."""
        return manual_delivery(self.subject)

    def delivery(self) -> tuple[str, str, bytes]:
        """Return the delivery that it is: id, type, body."""
        return self.delivery_id, MANUAL_GRANT, _body(MANUAL_GRANT, self)

    def plan(self) -> Plan:
        """Return the plan for it, which no rules have a say in."""
        grant = Grant(
            subject=self.subject,
            customer_id=self.customer_id,
            meter=self.meter,
            property_name=self.property_name,
            parts=(Part(rule=NO_RULE, units=self.units),),
            reason=self.reason,
        )
        return Plan(subject=self.subject, customer_id=self.customer_id, grants=(grant,))


class ManualRevoke(_Asked):
    """What an order was credited is taken back: on one meter, or on all."""

    order_id: Id
    customer_id: Id
    meter: Text | None = None

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery that it is."""
        return f"revoke-{self.order_id}" + (f":{self.meter}" if self.meter else "")

    def delivery(self) -> tuple[str, str, bytes]:
        """Return the delivery that it is: id, type, body."""
        return self.delivery_id, MANUAL_REVOKE, _body(MANUAL_REVOKE, self)

    def plan(self) -> Plan:
        """Return the plan for it: it grants nothing, and has the rest of the order's credits taken."""
        return Plan(
            subject=order_subject(self.order_id),
            customer_id=self.customer_id,
            order_id=self.order_id,
            revoke=Revoke(meter=self.meter),
        )


def _body(type_: str, asked: _Asked) -> bytes:
    """Return a body of the form that webhooks have: whoever shows one can show the other."""
    whole = {"type": type_, "data": asked.model_dump(mode="json")}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


def read(body: bytes, shape: type[Asked]) -> Asked:
    """Return what was asked; UnreadablePayloadError if this is not what we have written."""
    try:
        whole: Any = json.loads(body)
        return shape.model_validate(whole["data"])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise UnreadablePayloadError(f"the body cannot be read: {first['loc']}: {first['msg']}") from None
    except (ValueError, RecursionError, TypeError, KeyError):
        raise UnreadablePayloadError(
            "the body cannot be read: it is nothing that was asked by hand"
        ) from None


MANUAL_PLANS: Mapping[str, Callable[[bytes], Plan]] = {
    MANUAL_GRANT: lambda body: read(body, ManualGrant).plan(),
    MANUAL_REVOKE: lambda body: read(body, ManualRevoke).plan(),
}
"""The plan of each delivery of our own, from its body."""
