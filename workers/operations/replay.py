"""Selects stored deliveries, and says what they would lead to by today's rules."""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from config.rules import Rules
from workers.core.claims import Standing
from workers.core.delivery import Delivery, Status
from workers.core.delivery_plans import PlannedDelivery, plan_delivery
from workers.core.dry_run import Prospect, dry_run
from workers.core.manual import MANUAL_REVOKE
from workers.core.revival import revived
from workers.operations.previews import look_up
from workers.operations.spool import Spool, SpooledList
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger


class Selection(Struct, frozen=True, kw_only=True):
    """Deliveries to replay, oldest first, and how many were left out because their bodies were erased."""

    deliveries: Collection[Delivery]
    erased: int


class Replayer(Struct, frozen=True, kw_only=True):
    """Selects deliveries, and previews a replay."""

    deliveries: DeliveryStore
    ledger: Ledger

    def select(
        self, statuses: Sequence[Status], *, type_: str | None = None, since: datetime | None = None
    ) -> Selection:
        """Return the deliveries of these statuses, without dismissed ones.

        A person may have handled a dismissed delivery in another way, so it is replayed only by its id.
        """
        newest_first: SpooledList[Delivery] = Spool().list(Delivery)
        erased = 0
        for one in self.deliveries.newest(statuses, since=since, type_=type_):
            if one.erased_at and not one.is_dismissed:
                erased += 1
            elif not one.is_dismissed:
                newest_first.append(one)
        oldest_first: SpooledList[Delivery] = Spool().list(Delivery)
        for one in reversed(newest_first):
            oldest_first.append(one)
        return Selection(deliveries=oldest_first, erased=erased)

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


def _revived(standing: Standing, planned: PlannedDelivery, delivery: Delivery) -> Standing:
    """Return the standing as it is once a person has replayed a delivery by name."""
    woken = revived(standing, delivery.id, is_revoke=delivery.type == MANUAL_REVOKE)
    return woken if planned.takes_back else replace(woken, dismissed_with="")
