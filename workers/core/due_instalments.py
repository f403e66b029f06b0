"""A later instalment that has come due, with what Polar shows of its subscription: what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from workers.core.claims import Claim, Standing
from workers.core.envelope import validation_error_text
from workers.core.instalments import (
    LOOKED_AT_EVERY,
    Decision,
    Give,
    InstalmentRequest,
    SubscriptionState,
    Wait,
    decide_instalment,
)
from workers.core.payloads import Moment
from workers.core.views import View
from workers.errors import UnreadablePayloadError


class _Subscription(View):
    status: str
    product_id: str | None = None
    ended_at: Moment | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DueInstalment:
    """An instalment that has come due; ``polar_now`` is when Polar showed the subscription, by its clock."""

    request: InstalmentRequest
    state: SubscriptionState | None
    """None if Polar does not find the subscription."""
    polar_now: datetime

    def decide(self, standing: Standing, delivery_id: str = "") -> Decision:
        """Return what becomes of it, if it is not claimed yet; ``standing`` is the order's."""
        request, now = self.request, self.polar_now
        decision = decide_instalment(request, standing, self.state, now, delivery_id)
        if isinstance(decision, Give) and request.number > standing.begun.get(request.meter, 1) + 1:
            return Wait(until=now + LOOKED_AT_EVERY, reason="the ledger has lost an earlier instalment")
        return decision

    def claim(self, standing: Standing) -> Claim | None:
        """Return its claim; None if there is none."""
        return standing.instalment(self.request.number, self.request.meter)


def read_subscription(row: Mapping[str, Any]) -> SubscriptionState:
    """Return what a row of Polar's decides about instalments; UnreadablePayloadError if it is no such row."""
    try:
        read = _Subscription.model_validate(row)
    except ValidationError as error:
        raise UnreadablePayloadError(validation_error_text(error)) from None
    return SubscriptionState(status=read.status, product_id=read.product_id, ended_at=read.ended_at)
