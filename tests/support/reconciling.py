"""A host's reconciler, and what it says of a round."""

from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from config.rulebook import Rulebook
from config.rules import parse_rules
from tests.support.polar_orders import Operations
from tests.support.processes import TEN
from tests.support.rulebooks import write
from workers.operations.reconcile import Reconciler
from workers.store import keys
from workers.store.counts import Tally
from workers.store.schedule import ReconcileSchedule

SIX_HOURS = timedelta(hours=6)
BEGIN = (datetime.now(UTC) - timedelta(days=365)).isoformat()
CREDIT_FROM = TEN.replace("version: 1\n", f"version: 1\ncredit_from: {BEGIN}\n")


def reconciler(
    operations: Operations, folder: Path, rules: str = CREDIT_FROM, every: timedelta = SIX_HOURS
) -> Reconciler:
    """Return a host's reconciler, just started where workers have run for long."""
    operations.redis.set(keys.BEGAN, 1)
    operations.rules = parse_rules(rules, "rules.yaml")
    return Reconciler(
        schedule=ReconcileSchedule(operations.redis, Tally()),
        backfiller=operations.backfiller,
        granter=operations.granter,
        rulebook=Rulebook(write(folder / "rules.yaml", rules)),
        every=every,
    )


def told_by(one: Reconciler) -> list[MutableMapping[str, Any]]:
    """Return what it says of a round, but for what is said of each delivery."""
    with capture_logs() as logs:
        one.run_if_due()
    return [line for line in logs if "delivery" not in line]
