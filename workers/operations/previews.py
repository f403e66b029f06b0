"""Plans deliveries by what is known of them so far, without running them."""

from collections.abc import Sequence

from config.rules import Rules
from workers.core.claims import Standing
from workers.core.delivery_plans import PlannedDelivery, plan_as_shown
from workers.core.plans import Plan
from workers.store.ledger import Ledger

_NOTHING = Plan(subject="")


def look_up(
    ledger: Ledger, planned: Sequence[PlannedDelivery], rules: Rules
) -> list[tuple[PlannedDelivery, Standing]]:
    """Return the plans, of orders as earlier webhooks showed them, with what the ledger has for each."""
    standings = ledger.find_for_plans([one.plan or _NOTHING for one in planned])
    known = [plan_as_shown(one, standing, rules) for one, standing in zip(planned, standings, strict=True)]
    if any(one is not before for one, before in zip(known, planned, strict=True)):
        standings = ledger.find_for_plans([one.plan or _NOTHING for one in known])
    return list(zip(known, standings, strict=True))
