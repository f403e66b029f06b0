"""Runs a replay or a revocation that a person has planned. Code that only plans does not import it."""

from collections.abc import Iterable, Iterator
from functools import partial

from workers.core.delivery import Outcome
from workers.operations.batch_runs import run_batches
from workers.operations.pacing import Pacer
from workers.operations.revoke import Revocation
from workers.pipeline.granter import Granter
from workers.store.deliveries import DeliveryStore

_REPLAY = "credits replay"


def run_replay(
    ids: Iterable[str], deliveries: DeliveryStore, granter: Granter, pacer: Pacer, *, by_name: bool = False
) -> Iterator[list[Outcome]]:
    """Run these deliveries again; yield what became of them, batch by batch.

    ``by_name`` says that a person has named them. It ends the dismissal of what they are about.
    """
    reopen = partial(deliveries.reopen, by_name=by_name, replayed_by=_REPLAY)
    return run_batches(ids, reopen, pacer=pacer, granter=granter, store=deliveries)


def run_revocation(
    planned: Revocation, deliveries: DeliveryStore, granter: Granter, pacer: Pacer
) -> Iterator[list[Outcome]]:
    """Store the request as a delivery and run it; yield its outcome."""
    return run_batches(
        [planned.request],
        lambda some: deliveries.store_and_lease([one.delivery() for one in some]),
        pacer=pacer,
        granter=granter,
        store=deliveries,
    )
