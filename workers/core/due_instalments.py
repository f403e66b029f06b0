"""A later instalment that has come due, with what Polar shows of its subscription: what becomes of it."""

from datetime import datetime

from msgspec import Struct

from workers.core.claims import Claim, Standing
from workers.core.instalments import (
    LOOKED_AT_EVERY,
    Decision,
    Give,
    InstalmentRequest,
    SubscriptionState,
    Wait,
    decide_instalment,
)


class DueInstalment(Struct, frozen=True, kw_only=True):
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
