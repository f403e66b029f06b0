"""Turns deliveries and grants into the JSON that ``app.cli.shapes`` describes."""

from datetime import datetime

from app.cli.shapes import DeliveryJson, GrantJson, PlannedJson, SeriesJson
from workers.core.claims import Claim, Entry
from workers.core.delivery import Delivery
from workers.core.grants import Grant
from workers.core.instalment_series import Series
from workers.core.wording import plain
from workers.store.audit import entries_of


def iso(moment: datetime) -> str:
    """Return a time in UTC, as in ``2026-11-01T12:00:00Z``."""
    return moment.isoformat().replace("+00:00", "Z")


def iso_or_none(moment: datetime | None) -> str | None:
    """Return a time in UTC, or None if there is none."""
    return iso(moment) if moment else None


def json_number(text: str) -> int | float:
    """Return the number that a plain decimal text stands for."""
    return float(text) if "." in text else int(text)


def delivery_json(delivery: Delivery) -> DeliveryJson:
    """Return the JSON of a delivery."""
    return {
        "id": delivery.id,
        "type": delivery.type,
        "status": delivery.status,
        "reason": delivery.reason,
        "received_at": iso(delivery.received_at),
        "settled_at": iso_or_none(delivery.settled_at),
        "attempts": delivery.attempts,
        "order_id": delivery.order_id,
        "customer_id": delivery.customer_id,
    }


def grants_json(claim: Claim) -> list[GrantJson]:
    """Return the JSON of each grant in a claim."""
    return [entry_json(one) for one in entries_of([claim])]


def entry_json(one: Entry) -> GrantJson:
    """Return the JSON of a grant in the ledger."""
    return {
        **grant_json(one.grant, one.status, one.delivery_id),
        "claimed_at": iso(one.claimed_at),
        "granted_at": iso_or_none(one.granted_at),
    }


def grant_json(grant: Grant, status: str, delivery_id: str) -> GrantJson:
    """Return the JSON of a grant that is not claimed yet; its credits are negative if taken back."""
    return {
        "key": grant.key,
        "customer_id": grant.customer_id,
        "meter": grant.meter,
        "credits": json_number(plain(grant.units)),
        "status": status,
        "order_id": grant.order_id,
        "rules": list(grant.rules),
        "delivery": delivery_id,
        "claimed_at": None,
        "granted_at": None,
    }


def series_json(series: Series) -> SeriesJson:
    """Return the JSON of later instalments that would follow."""
    return {
        "meter": series.meter,
        "every": series.every,
        "credits": json_number(plain(series.units)),
        "dates": [iso(at) for at in series.dates],
    }


def planned_json(grant: Grant) -> PlannedJson:
    """Return the JSON of a grant that today's rules would make."""
    return {
        "key": grant.key,
        "meter": grant.meter,
        "credits": json_number(plain(grant.units)),
        "rules": list(grant.rules),
    }
