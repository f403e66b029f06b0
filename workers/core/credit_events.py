"""Writes credit events: what the storefront is told of a grant, a take-back, or a delivery that failed."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from pydantic_core import from_json

from workers.core.claims import Claim, Standing
from workers.core.event_names import FAILED, GRANTED, TAKEN_BACK, EventName, Failure
from workers.core.grants import Grant, is_correction
from workers.core.usage_events import grant_reason, json_number


class CreditEvent(Struct, frozen=True, kw_only=True):
    """An event as it is sent."""

    id: str
    type: str
    body: bytes


def settled_grant(standing: Standing, meter: str) -> tuple[Claim, Grant] | None:
    """Return the claim of a standing's subject and its grant on ``meter``; None if Polar has none of it."""
    claim = standing.own
    grants = claim.grants if claim and meter in claim.settled else ()
    return next(((claim, one) for one in grants if claim and one.meter == meter), None)


def grant_event(claim: Claim, grant: Grant, external_customer_id: str | None) -> CreditEvent:
    """Return the event that tells of a grant that Polar has confirmed."""
    return _event(
        id_=grant.key,
        type_=GRANTED if grant.units > 0 else TAKEN_BACK,
        at=claim.settled[grant.meter],
        data={
            **_about(grant),
            "external_customer_id": external_customer_id,
            "reason": grant_reason(grant) or None,
        },
    )


def failure_event(
    name: EventName, failure: Failure, standing: Standing, external_customer_id: str | None
) -> CreditEvent:
    """Return the event that tells that a delivery failed.

    It names a grant only if exactly one failed: a delivery can have several, or fail before it has any.
    """
    failed = _failed_grants(name.delivery_id, failure, standing)
    about = _about(failed[0]) if len(failed) == 1 else _NO_GRANT
    return _event(
        id_=name.id,
        type_=FAILED,
        at=failure.at,
        data={
            **about,
            "customer_id": failure.customer_id or about["customer_id"],
            "order_id": failure.order_id or about["order_id"],
            "external_customer_id": external_customer_id,
            "reason": failure.reason,
        },
    )


def external_customer_id(body: bytes) -> str | None:
    """Return the merchant's own id of the customer whom a stored delivery names; None if it has none."""
    try:
        whole: Any = from_json(body, allow_inf_nan=False)
    except ValueError:
        return None
    data = whole.get("data") if isinstance(whole, Mapping) else None
    if not isinstance(data, Mapping):
        return None
    customer = data.get("customer")
    found = customer.get("external_id") if isinstance(customer, Mapping) else data.get("external_customer_id")
    if str(whole.get("type")).startswith("customer."):
        found = data.get("external_id")
    return found if isinstance(found, str) and found else None


_NO_GRANT: Mapping[str, Any] = {
    "key": None, "customer_id": None, "meter": None, "credits": None, "order_id": None, "rules": [],
}  # fmt: skip


def _about(grant: Grant) -> Mapping[str, Any]:
    return {
        "key": grant.key,
        "customer_id": grant.customer_id,
        "meter": grant.meter,
        "credits": json_number(abs(grant.units)),
        "order_id": grant.order_id,
        "rules": list(grant.rules),
    }


def _failed_grants(delivery_id: str, failure: Failure, standing: Standing) -> Sequence[Grant]:
    """Return the grants that Polar lacked when the delivery failed, and that the delivery was to send."""
    return [
        grant
        for claim in standing.claims
        if claim.delivery_id == delivery_id or not is_correction(claim.subject)
        for grant in claim.grants
        if grant.meter not in claim.settled or claim.settled[grant.meter] > failure.at
    ]


_FIELDS = ("key", "customer_id", "external_customer_id", "meter", "credits", "order_id", "rules", "reason")


def _event(*, id_: str, type_: str, at: datetime, data: Mapping[str, Any]) -> CreditEvent:
    whole = {
        "type": type_,
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {name: data[name] for name in _FIELDS},
    }
    body = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    return CreditEvent(id=id_, type=type_, body=body)
