"""What the granter knows of a lease after each step, and what follows from it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from config.rules import Rules
from workers.core.adjustments import adjustment_due
from workers.core.claims import Standing
from workers.core.delivery import Lease, Leased
from workers.core.delivery_plans import PlannedDelivery
from workers.core.due_instalments import DueInstalment
from workers.core.grants import Grant
from workers.core.instalments import Give
from workers.core.later_claims import LaterClaim
from workers.core.next_instalments import NextInstalment, next_instalment
from workers.core.outcomes import IngestionResult
from workers.core.plans import Plan
from workers.core.takebacks import due_take_backs


class TakenLease(Struct, frozen=True, kw_only=True):
    """A lease, and when it was taken, as the monotonic clock has it."""

    lease: Lease
    taken_at: float


class PlannedLease(Struct, frozen=True, kw_only=True):
    """A lease whose deliveries were planned by ``rules``, which took ``seconds``."""

    taken: TakenLease
    rules: Rules
    planned: Sequence[PlannedDelivery]
    seconds: float = 0.0


class ClaimedLease(Struct, frozen=True, kw_only=True):
    """A lease whose plans are claimed; ``leased_at`` is read from the monotonic clock.

    ``may_ask`` says whether a request that was taken with the claims may be made; None if none was taken.
    After ``send_until``, by the same clock, nothing more is sent: it has waited for other leases too long.
    """

    lease: Lease
    planned: Sequence[PlannedDelivery]
    standings: Mapping[str, Standing]
    leased_at: float
    may_ask: bool | None = None
    send_until: float = math.inf

    @property
    def deliveries(self) -> Iterable[tuple[Leased, PlannedDelivery]]:
        """Return each leased delivery with its plan."""
        return zip(self.lease.deliveries, self.planned, strict=True)


class IngestedLease(Struct, frozen=True, kw_only=True):
    """A claimed lease, and Polar's answer to its grants.

    ``grants`` are the grants that were sent, by key; ``earlier`` are those that Polar had accepted before in
    this drain. ``makers`` maps the key of each unsettled grant to the delivery that made it.
    """

    claimed: ClaimedLease
    grants: Mapping[str, Grant]
    earlier: Sequence[Grant]
    makers: Mapping[str, str]
    result: IngestionResult


class Accepted(NamedTuple):
    """A grant that Polar has accepted, as it was sent, and the delivery that made it."""

    grant: Grant
    maker: str
    is_unconfirmed: bool


def grants_to_send(claimed: ClaimedLease) -> tuple[dict[str, Grant], dict[str, str]]:
    """Return the grants that Polar has not confirmed yet, and the first delivery of each; both by key."""
    grants: dict[str, Grant] = {}
    makers: dict[str, str] = {}
    for delivery, planned in claimed.deliveries:
        if (standing := claimed.standings.get(delivery.id)) and not planned.failure:
            for claim in planned.claims_to_send(standing):
                for grant in claim.unsettled:
                    grants[grant.key] = grant
                    makers.setdefault(grant.key, delivery.id)
    return grants, makers


def due_claims(planned: Sequence[tuple[Leased, Plan]], standings: Mapping[str, Standing]) -> list[LaterClaim]:
    """Return the take-backs and adjustments that the standings lead to, in the order of the deliveries."""
    return [one for delivery, plan in planned for one in _due_of(delivery.id, plan, standings[delivery.id])]


def following_instalments(standings: Mapping[str, Standing]) -> dict[str, NextInstalment]:
    """Return the instalments that follow when Polar confirms what it lacks, by the key of the grant."""
    lacking = [
        (standing, grant)
        for standing in standings.values()
        if standing.period
        for claim in standing.claims
        for grant in claim.unsettled
    ]
    found = {grant.key: next_instalment(standing, grant) for standing, grant in lacking}
    return {key: one for key, one in found.items() if one}


def _due_of(delivery_id: str, plan: Plan, standing: Standing) -> Sequence[LaterClaim]:
    if plan.instalment:
        return _instalment_due(plan.instalment, standing, delivery_id)
    if plan.adjust is None:
        return due_take_backs(standing, delivery_id, plan.revoke)
    due = adjustment_due(standing, plan.adjust, delivery_id)
    return [due] if due else []


def _instalment_due(due: DueInstalment, standing: Standing, delivery_id: str) -> Sequence[LaterClaim]:
    decision = None if due.claim(standing) else due.decide(standing, delivery_id)
    return [decision.instalment] if isinstance(decision, Give) else []
