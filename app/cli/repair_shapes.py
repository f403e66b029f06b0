"""What ``backfill``, ``recover`` and ``rebuild`` print with ``--json``; ``app.cli.shapes`` has the rest."""

from typing import Annotated, TypedDict

from app.cli.shapes import OutcomeJson, PlannedJson


class MissingJson(TypedDict):
    """A paid order that was never credited."""

    order_id: str
    customer_id: str
    created_at: str
    would: str
    grants: list[PlannedJson]


class NeedsReviewJson(TypedDict):
    """An order whose credit rests on what Polar shows as of today."""

    order_id: str
    rests_on: str


class FailingJson(TypedDict):
    """An order whose credit cannot be worked out."""

    order_id: str
    reason: str


class NotForCreditJson(TypedDict):
    """How many orders lead to no credit, and why."""

    reason: str
    orders: int


class BackfillJson(TypedDict):
    """What a backfill found, and what became of it."""

    read: int
    missing: list[MissingJson]
    begun: Annotated[list[str], "orders that an earlier backfill began"]
    granted: Annotated[int, "granted already"]
    waiting: int
    claimed: int
    dismissed: int
    needs_review: list[NeedsReviewJson]
    failing: list[FailingJson]
    parked: int
    skipped: list[NotForCreditJson]
    warnings: list[str]
    outcomes: list[OutcomeJson]
    trouble: Annotated[str | None, "what kept us from the rest"]


class LostJson(TypedDict):
    """A webhook that never reached us."""

    id: str
    type: str
    made_at: str
    would: str


class UnusableJson(TypedDict):
    """A webhook that cannot be recovered."""

    id: str
    reason: str


class RecoverJson(TypedDict):
    """What was lost, and what became of it."""

    lost: list[LostJson]
    unusable: list[UnusableJson]
    outcomes: list[OutcomeJson]
    trouble: Annotated[str | None, "what kept us from the rest"]


class TraceJson(TypedDict):
    """A grant as Polar has it."""

    key: str
    customer_id: str
    meter: str
    credits: Annotated[float, "negative where taken back"]
    order_id: str | None
    rules: list[str]
    granted_at: str


class DifferenceJson(TypedDict):
    """A grant that Polar has for good, and the ledger otherwise."""

    key: str
    polar: float
    ledger: Annotated[float | None, "null where the ledger has nothing on this meter"]
    left: Annotated[str | None, "why the ledger stays as it is; null where it gets Polar's amount"]


class OverReversedJson(TypedDict):
    """What Polar has taken back of an order beyond what it has given."""

    order_id: str
    meter: str
    credits: float


class NotOursJson(TypedDict):
    """An event that says it is ours and cannot be."""

    event: str
    key: str
    reason: str


class RebuildJson(TypedDict):
    """What Polar has of our grants, and what was restored of it."""

    read: int
    missing: Annotated[list[TraceJson], "in the ledger, when it was looked at"]
    standing: Annotated[int, "in the ledger already"]
    claimed: Annotated[int, "in the ledger, not settled"]
    differing: list[DifferenceJson]
    over_reversed: list[OverReversedJson]
    not_ours: list[NotOursJson]
    not_listed: Annotated[int, "events that Polar counts and did not show: run it again"]
    restored: Annotated[int, "grants"]
    corrected: Annotated[int, "grants that got Polar's amount"]
    changed: Annotated[list[str], "facts that somebody was at meanwhile: run it again"]
    refund_pending: Annotated[list[str], "orders whose refund came before this rebuild, and took nothing yet"]
    refund_incomplete: Annotated[
        list[str], "orders of which the last refund took less than its share of what Polar gave"
    ]
