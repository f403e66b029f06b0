"""What `rebuild` writes into the ledger: facts that it lacks, and amounts that Polar has otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from workers.core.claims import Claim, TakeBack, Taken
from workers.core.grants import Grant
from workers.core.planning import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Restoration:
    """All that is to be written down of one fact at once; it holds while ``claimed_by`` has claimed it."""

    plan: Plan
    claimed_by: str
    """The delivery that has the fact in the ledger; nothing where none has."""
    taken: tuple[TakeBack, ...]
    times: Mapping[str, Mapping[str, datetime]]
    """When Polar took what: by subject, by meter."""

    @property
    def count(self) -> int:
        """Return how many grants it is."""
        return sum(len(meters) for meters in self.times.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """Amounts to be written at once over those of the ledger; it holds while all of them are as they were."""

    subject: str
    grants: tuple[tuple[Claim, Grant, Grant], ...]
    """By whose claim, as it is there, as it is to be."""
    before: Taken
    after: Taken
