"""Defines claims that follow from an order's own: take-backs, adjustments and later instalments.

Each is computed from what the ledger has of the order. The ledger freezes it only if that has not changed.
"""

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct, field

from workers.core.claims import Dispute, Refund, Taken
from workers.core.grants import Grant


class TakeBack(Struct, frozen=True, kw_only=True):
    """Negative grants that take credits back, after a refund or a lost dispute, or by hand.

    ``before`` and ``after`` are the totals taken on these meters. The ledger writes the take-back only if its
    total is still ``before``.
    """

    delivery_id: str
    subject: str
    grants: tuple[Grant, ...]
    before: Taken
    after: Taken
    computed_from: tuple[Grant, ...] = ()
    """The grants behind the take-back. If a rebuild has since corrected them, the ledger writes nothing."""
    adjusted: int = 0
    """How many adjustments it was computed from. If there are more by now, the ledger writes nothing."""
    begun: Mapping[str, int] = field(default_factory=dict)
    """How many instalments it was computed from, by meter, in the same sense."""


class Adjustment(Struct, frozen=True, kw_only=True):
    """Grants that bring an order's credits to other amounts: positive or negative ones.

    ``adjusted`` is how many adjustments the order has with this one, ``before`` how many without. The ledger
    writes it only if that is still so, and the totals ``taken`` on these meters are the same.
    """

    delivery_id: str
    subject: str
    grants: tuple[Grant, ...]
    before: int
    adjusted: int
    taken: Taken
    computed_from: tuple[Grant, ...] = ()


class Instalment(Struct, frozen=True, kw_only=True):
    """A later instalment of an order on one meter.

    ``subject`` is the order's; ``number`` counts from 2. The ledger writes it only if the order has
    ``number - 1`` instalments on this meter, which have not ended, and if ``refund``, ``disputes`` and
    ``taken`` (on this meter) are what the order has.
    """

    delivery_id: str
    subject: str
    grant: Grant
    number: int
    computed_from: Grant
    """The order's own grant on this meter."""
    refund: Refund | None = None
    disputes: tuple[Dispute, ...] = ()
    taken: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Return its one grant."""
        return (self.grant,)


LaterClaim = TakeBack | Adjustment | Instalment
