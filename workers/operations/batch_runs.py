"""Processes deliveries in batches, each when Polar has room for it, for `credits grant` and the repairs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from workers.core.batches import in_batches
from workers.core.delivery import Lease, Leased, Outcome, Status
from workers.core.take_back_delivery import take_back_delivery
from workers.errors import PolarUnreachableError
from workers.operations.pacing import Pacer
from workers.pipeline.granter import Granter
from workers.store.deliveries import DeliveryStore

Item = TypeVar("Item")


def run_batches(
    items: Iterable[Item],
    store_and_lease: Callable[[Sequence[Item]], tuple[Leased, ...]],
    *,
    pacer: Pacer,
    granter: Granter,
    store: DeliveryStore,
) -> Iterator[list[Outcome]]:
    """Process ``items`` in batches of a few hundred; yield the outcomes of each batch.

    ``store_and_lease`` is called for each batch and returns its deliveries. If earlier refunds take some of
    the credits back, deliveries of their own do so next. Raises PolarUnreachableError if Polar accepts
    nothing; the remaining batches are then left untouched.
    """
    most = granter.timings.deliveries_per_lease
    for some in in_batches(items, most):
        pacer.wait(take=False)
        outcomes = granter.run(Lease(deliveries=store_and_lease(some)))
        outcomes += _take_back(outcomes, granter, store)
        held_up = [
            one for one in outcomes if one.status is Status.WAITING and not (one.strike or one.put_back)
        ]
        yield [one for one in outcomes if one not in held_up]
        if held_up:
            pacer.wait(take=False)
            reopened = store.reopen([one.delivery_id for one in held_up])
            outcomes = granter.run(Lease(deliveries=reopened))
            yield outcomes + _take_back(outcomes, granter, store)
            if all(one.status is Status.WAITING for one in outcomes):
                raise PolarUnreachableError(f"Polar accepts nothing at the moment: {held_up[0].reason}")


def _take_back(outcomes: Sequence[Outcome], granter: Granter, store: DeliveryStore) -> list[Outcome]:
    """Run the take-backs that the settlement of these orders made due; return their outcomes."""
    ids = [take_back_delivery(one.order_id) for one in outcomes if one.status is Status.GRANTED]
    due = [one.id for one in store.get(list(dict.fromkeys(ids))) if one.status is Status.WAITING]
    return granter.run(Lease(deliveries=store.reopen(due))) if due else []
