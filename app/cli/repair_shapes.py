"""The types of what ``backfill``, ``recover`` and ``rebuild`` print with ``--json``."""

from typing import Annotated, TypedDict

from app.cli.shapes import OutcomeJson, PlannedJson


class MissingJson(TypedDict):
    """A paid order that was never credited."""

    order_id: str
    customer_id: str
    created_at: str
    would: str
    was_skipped: Annotated[bool, "its webhook came and was skipped"]
    grants: list[PlannedJson]


class NeedsReviewJson(TypedDict):
    """An order whose credits depend on values that Polar shows only as of today."""

    order_id: str
    depends_on: str


class FailingJson(TypedDict):
    """An order whose credits cannot be computed."""

    order_id: str
    reason: str


class NotForCreditJson(TypedDict):
    """How many orders are skipped for one reason."""

    reason: str
    orders: int


class BackfillJson(TypedDict):
    """What a backfill found, and what became of it."""

    read: Annotated[int, "orders"]
    missing: list[MissingJson]
    begun: Annotated[list[str], "orders that an interrupted backfill started"]
    granted: Annotated[int, "already granted"]
    waiting: Annotated[int, "their webhooks wait here already"]
    claimed: Annotated[int, "claimed by a delivery, not at Polar yet"]
    dismissed: Annotated[int, "dismissed by a person; a lost Redis forgets this"]
    needs_review: list[NeedsReviewJson]
    failing: list[FailingJson]
    already_failed: Annotated[int, "cannot be computed, and their deliveries have failed"]
    skipped: list[NotForCreditJson]
    not_listed: Annotated[int, "orders that Polar counts but does not list: run it again"]
    not_listed_around: Annotated[list[str], "when they were created, as far as that is known"]
    warnings: list[str]
    outcomes: list[OutcomeJson]
    trouble: Annotated[str | None, "why the rest was not run; null if all were run"]


class AdjustedOrderJson(TypedDict):
    """An order to which the rule gave another amount than it says today."""

    order_id: str
    customer_id: str
    grants: Annotated[list[PlannedJson], "what is sent; negative credits take back"]


class LeftAloneJson(TypedDict):
    """An order that is not adjusted."""

    order_id: str
    reason: str


class AdjustJson(TypedDict):
    """What an adjustment found, and what became of it."""

    rule: str
    read: Annotated[int, "orders credited in this time, by whatever rule"]
    adjusting: list[AdjustedOrderJson]
    begun: Annotated[list[str], "deliveries that an interrupted run has left"]
    unchanged: Annotated[int, "orders that have what the rule says"]
    skipped: list[LeftAloneJson]
    failing: Annotated[list[LeftAloneJson], "the rule cannot be evaluated for them"]
    needs_review: Annotated[list[LeftAloneJson], "Polar may have had their adjustment before"]
    warnings: list[str]
    outcomes: list[OutcomeJson]
    trouble: Annotated[str | None, "why the rest was not run; null if all were run"]


class LostJson(TypedDict):
    """A webhook that never arrived."""

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
    not_listed: Annotated[int, "attempts that Polar counts but does not list: run it again"]
    not_listed_around: Annotated[list[str], "when they were made, as far as that is known"]
    outcomes: list[OutcomeJson]
    trouble: Annotated[str | None, "why the rest was not run; null if all were run"]


class RecordedGrantJson(TypedDict):
    """A grant as Polar has it."""

    key: str
    customer_id: str
    meter: str
    credits: Annotated[float, "negative if taken back"]
    order_id: str | None
    rules: list[str]
    granted_at: str


class DifferenceJson(TypedDict):
    """A grant with different amounts at Polar and in the ledger."""

    key: str
    polar: float
    ledger: Annotated[float | None, "null if the ledger has nothing on this meter"]
    kept_because: Annotated[str | None, "why the ledger keeps its amount; null if it takes Polar's"]


class OverReversedJson(TypedDict):
    """Credits that were taken back from an order beyond what it was granted."""

    order_id: str
    meter: str
    credits: float


class NotOursJson(TypedDict):
    """An event that claims to come from this service but does not."""

    event: str
    key: str
    reason: str


class GapJson(TypedDict):
    """A moment at which Polar received more events than it lists."""

    at: str
    events: Annotated[int, "how many are missing"]


class RebuildJson(TypedDict):
    """What Polar has of the ledger, and what was restored."""

    read: Annotated[int, "events"]
    missing: Annotated[list[RecordedGrantJson], "from the ledger, before anything was restored"]
    matching: Annotated[int, "in the ledger already"]
    claimed: Annotated[int, "in the ledger, not settled"]
    differing: list[DifferenceJson]
    over_reversed: list[OverReversedJson]
    not_ours: list[NotOursJson]
    not_listed: Annotated[int, "events that Polar counts but does not list: run it again"]
    gaps: Annotated[list[GapJson], "where they are missing, as far as that is known"]
    restored: Annotated[int, "grants"]
    corrected: Annotated[int, "grants that took Polar's amount"]
    changed: Annotated[list[str], "facts that changed in the meantime: run it again"]
    refund_pending: Annotated[
        list[str], "orders whose refund arrived before this rebuild and has taken nothing back yet"
    ]
    refund_incomplete: Annotated[
        list[str], "orders whose last refund took back less than its share of what Polar has"
    ]
