"""Runs a replay or a revocation for a person. Only this imports what grants, so a dry run starts sooner."""

from collections.abc import Collection

from app.cli.batches import Outcomes, run_with_progress
from app.cli.progress import show_wait
from config.rules import NO_RULES, Rules
from config.settings import Settings
from workers.core.delivery import Delivery
from workers.operations.pacing import Pacer
from workers.operations.revoke import Revocation
from workers.operations.runs import run_replay, run_revocation
from workers.runtime.granting import granter_for
from workers.store.stores import Stores


def replay_now(
    selected: Collection[Delivery],
    rules: Rules,
    settings: Settings,
    held: Stores,
    *,
    by_name: bool,
    json: bool,
) -> tuple[Outcomes, str]:
    """Run deliveries again; return the outcomes, and why some deliveries were not run."""
    granter = granter_for(settings, held, lambda: rules)
    ids = (one.id for one in selected)
    batches = run_replay(ids, held.deliveries, granter, _pacer(held), by_name=by_name)
    return run_with_progress(batches, len(selected), json=json)


def revoke_now(planned: Revocation, settings: Settings, held: Stores, *, json: bool) -> tuple[Outcomes, str]:
    """Run a revocation; return the outcome, and why it was not run."""
    # Rules are not needed: the ledger says what can be taken.
    granter = granter_for(settings, held, lambda: NO_RULES)
    batches = run_revocation(planned, held.deliveries, granter, _pacer(held))
    return run_with_progress(batches, 1, json=json)


def _pacer(held: Stores) -> Pacer:
    return Pacer(throttle=held.throttle, show_wait=show_wait)
