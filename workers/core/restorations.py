"""Defines what ``rebuild`` writes to the ledger: missing facts, and amounts that differ at Polar."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from workers.core.claims import Claim, Taken
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.plans import Plan


class Restoration(Struct, frozen=True, kw_only=True):
    """Everything to write for one fact, in one step.

    It is written only if ``claimed_by`` is still the delivery that claimed the fact in the ledger.
    """

    plan: Plan
    claimed_by: str
    """The delivery that has claimed the fact in the ledger; empty if none has."""
    taken: tuple[LaterClaim, ...]
    """What corrects the fact's grants, in the order in which it is to be written."""
    times: Mapping[str, Mapping[str, datetime]]
    """When Polar confirmed each grant, by subject and meter."""

    @property
    def count(self) -> int:
        """Return the number of grants."""
        return sum(len(meters) for meters in self.times.values())


class Correction(Struct, frozen=True, kw_only=True):
    """Amounts that replace those in the ledger, in one step.

    They are written only if the ledger still has every amount that they replace.
    """

    subject: str
    grants: tuple[tuple[Claim, Grant, Grant], ...]
    """The claim, the grant in the ledger, and the grant that replaces it."""
    before: Taken
    after: Taken
    adjusted: int = 0
