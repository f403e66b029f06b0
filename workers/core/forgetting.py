"""Decides how a ``customer.deleted`` ends, which erases the stored bodies about the customer."""

import json

from msgspec import Struct

from config.wording import format_count
from workers.core.delivery import Leased, Outcome, Status
from workers.core.envelope import CUSTOMER_DELETED

_WAITING_SECONDS = 60  # those that still wait are settled within seconds, or retried for twenty minutes


class Forgotten(Struct, frozen=True, kw_only=True):
    """What was erased about a deleted customer: ``waiting`` deliveries still need their bodies."""

    erased: int
    waiting: int = 0


def body_without_person(customer_id: str) -> bytes:
    """Return the body of ``customer.deleted`` with nothing but the customer's id."""
    return json.dumps({"type": CUSTOMER_DELETED, "data": {"id": customer_id}}).encode()


def forgetting_outcome(delivery: Leased, customer_id: str, forgotten: Forgotten) -> Outcome:
    """Return how ``delivery`` ends: skipped once all is erased; until then it is due again."""
    if forgotten.waiting:
        wait = format_count(forgotten.waiting, "delivery")
        reason = f"customer deleted: {wait} about them must be settled before the last bodies are erased"
    else:
        reason = f"customer deleted: {format_count(forgotten.erased, 'other body')} erased"
    return Outcome(
        delivery_id=delivery.id,
        attempt=delivery.attempt,
        status=Status.WAITING if forgotten.waiting else Status.SKIPPED,
        reason=reason,
        customer_id=customer_id,
        after_seconds=_WAITING_SECONDS if forgotten.waiting else 0,
    )
