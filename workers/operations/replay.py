"""Runs stored deliveries again, by today's rules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from config.rules import Rules
from workers.core.claims import Standing
from workers.core.delivery import Delivery, Outcome, Status
from workers.core.delivery_plans import PlannedDelivery, plan_delivery
from workers.core.dry_run import Prospect, dry_run
from workers.operations.pacing import Pacer, run_batches
from workers.operations.previews import look_up
from workers.pipeline.granter import Granter
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

_COMMAND = "credits replay"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Deliveries to replay, oldest first, and how many were left out because their bodies were erased."""

    deliveries: Sequence[Delivery]
    erased: int


@dataclass(frozen=True, kw_only=True)
class Replayer:
    """Selects deliveries, previews a replay, and runs it."""

    deliveries: DeliveryStore
    ledger: Ledger

    def select(
        self, statuses: Sequence[Status], *, type_: str | None = None, since: datetime | None = None
    ) -> Selection:
        """Return the deliveries of these statuses, without dismissed ones.

        A person may have handled a dismissed delivery in another way, so it is replayed only by its id.
        """
        newest_first = self.deliveries.newest(statuses, since=since)
        found = [one for one in newest_first if type_ in {None, one.type} and not one.is_dismissed]
        kept = [one for one in reversed(found) if not one.erased_at]
        return Selection(deliveries=kept, erased=len(found) - len(kept))

    def preview(self, delivery: Delivery, rules: Rules, *, by_name: bool = False) -> Prospect:
        """Return what a replay would do. Changes nothing."""
        return self.preview_all([delivery], rules, by_name=by_name)[0]

    def preview_all(
        self, deliveries: Sequence[Delivery], rules: Rules, *, by_name: bool = False
    ) -> list[Prospect]:
        """Return what a replay of each of these would do, each as if it ran alone. Changes nothing."""
        bodies = dict(self.deliveries.bodies(one.id for one in deliveries))
        planned = [plan_delivery(one.type, bodies[one.id], rules) for one in deliveries]
        return [
            dry_run(known, _revived(standing, known, one) if by_name else standing)
            for one, (known, standing) in zip(deliveries, look_up(self.ledger, planned, rules), strict=True)
        ]

    def run(
        self, ids: Sequence[str], granter: Granter, pacer: Pacer, *, by_name: bool = False
    ) -> Iterator[list[Outcome]]:
        """Run these deliveries; yield what became of them, batch by batch.

        ``by_name`` says that a person has named them: what they are about is then no longer dismissed.
        """
        reopen = partial(self.deliveries.reopen, by_name=by_name, replayed_by=_COMMAND)
        return run_batches(ids, reopen, pacer=pacer, granter=granter, store=self.deliveries)


def _revived(standing: Standing, planned: PlannedDelivery, delivery: Delivery) -> Standing:
    """Return the standing as it is once a person has replayed a delivery by name."""
    if not planned.takes_back:
        return replace(standing, dismissed_with="")
    claims = [
        replace(claim, is_dismissed=claim.is_dismissed and claim.delivery_id != delivery.id)
        for claim in standing.claims
    ]
    return replace(standing, claims=tuple(claims))
