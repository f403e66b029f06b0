"""The delivery that adjusts an order's credits: what today's rule gives it, as a person has asked for."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from config.cel.numbers import CREDITS_LIMIT
from workers.core.claims import Adjust, Refund
from workers.core.envelope import validation_error_text
from workers.core.grants import KEY, Grant, Part, order_subject
from workers.core.plans import Plan
from workers.core.views import Cents, Id, View
from workers.errors import UnreadablePayloadError

# No webhook has this type, and the receiver would not store one that did.
MANUAL_ADJUST = "manual.adjust"

_PREFIX = "adjust-"

Text = Annotated[str, Field(min_length=1)]


def _is_share(text: str) -> str:
    if not 0 <= Fraction(text) <= 1:
        raise ValueError("not a share from 0 to 1")
    return text


class Wanted(View):
    """What today's rule gives the order on one meter, before refunds."""

    meter: Text
    property_name: Text
    units: Annotated[Decimal, Field(gt=0, lt=CREDITS_LIMIT)]
    revocable: bool = False
    disputable: bool = False


class SeenRefund(View):
    """The refunds of the order as Polar showed them; ``share`` is written as ``1/3``."""

    amount: Annotated[Cents, Field(ge=0)]
    share: Annotated[str, Field(pattern=r"^[0-9]{1,16}/[1-9][0-9]{0,15}$"), AfterValidator(_is_share)]


class ManualAdjust(View):
    """A request to bring what ``rule`` gave an order to ``wanted``; nothing is wanted on other meters."""

    order_id: Id
    customer_id: Id
    rule: Annotated[str, Field(pattern=f"^{KEY}$")]
    number: Annotated[int, Field(ge=1)]
    wanted: tuple[Wanted, ...] = ()
    refund: SeenRefund | None = None

    @property
    def delivery_id(self) -> str:
        """Return the id of the delivery that carries this request."""
        return adjust_delivery(self.order_id, self.number)

    def delivery(self) -> tuple[str, str, bytes]:
        """Return the delivery that carries this request: id, type, body."""
        whole = {"type": MANUAL_ADJUST, "data": self.model_dump(mode="json")}
        return self.delivery_id, MANUAL_ADJUST, json.dumps(whole, separators=(",", ":")).encode()

    def plan(self) -> Plan:
        """Return the plan for this request: no grants, but an adjustment of the order's credits."""
        refund = self.refund
        return Plan(
            subject=order_subject(self.order_id),
            customer_id=self.customer_id,
            order_id=self.order_id,
            refund=Refund(amount=refund.amount, share=Fraction(refund.share)) if refund else None,
            adjust=Adjust(rule=self.rule, number=self.number, wanted=tuple(map(self._grant, self.wanted))),
        )

    def _grant(self, one: Wanted) -> Grant:
        part = Part(rule=self.rule, units=one.units, revocable=one.revocable, disputable=one.disputable)
        return Grant(
            subject=order_subject(self.order_id),
            customer_id=self.customer_id,
            meter=one.meter,
            property_name=one.property_name,
            parts=(part,),
            order_id=self.order_id,
        )


class _Body(View):
    data: ManualAdjust


def adjust_delivery(order_id: str, number: int) -> str:
    """Return the id of the delivery that makes the nth adjustment of this order."""
    return f"{_PREFIX}{order_id}-{number}"


def adjust_plan(body: bytes) -> Plan:
    """Return the plan of such a delivery."""
    try:
        return _Body.model_validate_json(body).data.plan()
    except ValidationError as error:
        raise UnreadablePayloadError(validation_error_text(error)) from None
