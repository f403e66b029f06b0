"""A stand-in for Polar that stumbles over the grants of some orders, while it accepts all else."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from app.demo.polar import Polar
from app.demo.polar.organization import StatementTooLargeError
from app.demo.polar.request_models import EventCreate
from tests.chaos.storm.seed import random_for

_SHARE = 0.1  # of all orders
_TIMES = 3  # alone; five times would fail a delivery
_GRANT = "credits:order:"


@dataclass(kw_only=True)
class StumblingPolar(Polar):
    """Answers 500 to some grants, and to every batch with one of them, until each came alone three times.

    A refund of the same order would be accepted meanwhile, and make a debt.
    """

    seed: int
    stumbled: Counter[str] = field(default_factory=Counter)
    """How often each grant was sent alone, by its key."""

    def ingest(self, batch: Sequence[EventCreate]) -> dict[str, int]:
        """Store a batch, or raise StatementTooLargeError, and then store nothing."""
        if obstacles := [key for one in batch if (key := one.external_id) and self._stumbles_over(key)]:
            self.stumbled.update(obstacles if len(batch) == 1 else [])
            raise StatementTooLargeError
        return super().ingest(batch)

    def _stumbles_over(self, key: str) -> bool:
        rng: Random = random_for(self.seed, key)
        return key.startswith(_GRANT) and rng.random() < _SHARE and self.stumbled[key] < _TIMES
