"""A stand-in for Polar that stumbles over the grants of some orders, while it accepts all else."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from app.demo.polar import Polar
from app.demo.polar.organization import StatementTooLargeError
from app.demo.polar.request_models import EventCreate
from tests.chaos.storm.seed import random_for

_MOST_ORDERS = (
    20  # each costs three pauses and more: in a long storm, a tenth of all would leave no time for the rest
)
_SHARE = 0.1
_TIMES = 3  # alone; five times would fail a delivery
_GRANT = ("credits:order:", "credits:instalment:")


@dataclass(kw_only=True)
class StumblingPolar(Polar):
    """Answers 500 to some grants, and to every batch with one of them, until each came alone three times.

    A refund of the same order would be accepted meanwhile, and make a debt.
    """

    seed: int
    expected_orders: int
    """How many orders are to come; it stumbles over a tenth of them, at most over about twenty."""
    stumbled: Counter[str] = field(default_factory=Counter)
    """How often each grant was sent alone, by its key."""

    def ingest(self, batch: Sequence[EventCreate]) -> dict[str, int]:
        """Store a batch, or raise StatementTooLargeError, and then store nothing."""
        if obstacles := [key for one in batch if (key := one.external_id) and self._stumbles_over(key)]:
            self.stumbled.update(obstacles if len(batch) == 1 else [])
            raise StatementTooLargeError
        return super().ingest(batch)

    @property
    def _share(self) -> float:
        return min(_SHARE, _MOST_ORDERS / self.expected_orders)

    def _stumbles_over(self, key: str) -> bool:
        rng: Random = random_for(self.seed, key)
        return key.startswith(_GRANT) and rng.random() < self._share and self.stumbled[key] < _TIMES
