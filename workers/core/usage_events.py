"""Writes grants as usage events for Polar, and reads them back from Polar's list of events."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, ValidationError

from config.cel.numbers import MAX_DIGITS
from config.rules.fields import CONTROLS, RESERVED_PROPERTIES
from workers.core.grants import (
    ADJUST,
    DISPUTE,
    KEY,
    LONGEST_TEXT,
    NO_RULE,
    REFUND,
    REVOKE,
    RULE_SEPARATOR,
    Grant,
    Part,
    Revision,
    is_correction,
    subject_of,
)
from workers.core.period_notes import period_note, read_period_note
from workers.core.recorded_grants import InvalidUsageEvent, RecordedGrant
from workers.core.views import Id, Moment, View
from workers.core.wording import plain

GRANTED_BY = "credit-granter"


_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

# A key without its meter, in the forms that ``workers.core.grants`` writes.
_STEM = re.compile(
    rf"credits:(?:order:(?P<order>{_UUID})"
    rf"|instalment:(?P<later>{_UUID}):[1-9][0-9]*"
    rf"|cycle:{_UUID}:[0-9]+"
    rf"|subscription:{_UUID}"
    rf"|customer:(?P<customer>{_UUID}):(?P<rule>{KEY})"
    rf"|offer:{KEY}:key:{KEY}"
    rf"|offer:{KEY}:customer:(?P<offered>{_UUID})"
    rf"|(?P<hand>manual):{KEY}:[^:\s]+"
    rf"|refund:(?P<refunded>{_UUID}):[0-9]+"
    rf"|(?P<lost>dispute):{_UUID}"
    rf"|adjust:(?P<adjusted>{_UUID}):[1-9][0-9]*"
    rf"|revoke:(?P<revoked>{_UUID}))"
)
_REVISION = re.compile(r"adjust from ([0-9]{1,15}(?:\.[0-9]{1,15})?) to ([0-9]{1,15}(?:\.[0-9]{1,15})?)")
_RULES = re.compile(r"[A-Za-z0-9._,-]{1,500}")  # the last name may be cut off

# Why a grant changes what was credited before, by the beginning of its subject.
_CORRECTIONS = {REFUND: "refund", DISPUTE: "dispute", REVOKE: "revoke", ADJUST: "adjust"}


Row = Mapping[str, Any]
"""An event, as Polar's list returns it."""


class _Event(View):
    name: Annotated[str, Field(pattern=rf"^[^{CONTROLS}]{{1,128}}$")]
    customer_id: Id | None
    timestamp: Moment
    metadata: dict[str, Any]


class _NotOursError(Exception):
    """We cannot have sent this event; the text says why."""


def is_marked_ours(row: Row) -> bool:
    """Return whether an event has our ``granted_by``. A server may ignore our filter and list all events."""
    metadata = row.get("metadata")
    return isinstance(metadata, dict) and metadata.get("granted_by") == GRANTED_BY


def read_usage_event(row: Row) -> RecordedGrant | InvalidUsageEvent:
    """Return the grant that an event records, or why it cannot be one of ours."""
    metadata = row.get("metadata")
    key = metadata.get("key") if isinstance(metadata, dict) else None
    try:
        return _recorded_grant(_Event.model_validate(row), str(key), str(row.get("id")))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        why = f"it cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    except _NotOursError as error:
        why = str(error)
    return InvalidUsageEvent(event_id=str(row.get("id")), key=str(key or ""), why=why)


def _recorded_grant(event: _Event, key: str, event_id: str) -> RecordedGrant:
    stem = key.removesuffix(f":{event.name}")
    form = _STEM.fullmatch(stem)
    if form is None or stem == key:
        raise _NotOursError(f"its key is not one that we write for meter {event.name}")
    found = form.groupdict()
    takes_back = bool(found["refunded"] or found["revoked"] or found["lost"])
    property_name, units = _units(event.metadata)
    if not found["adjusted"]:
        _check_sign(units, takes_back=takes_back)
    rules = _rules(event.metadata, found)
    reason = _text(event.metadata, "reason")
    note = read_period_note(reason) if found["order"] else None
    grant = Grant(
        subject=subject_of(key, event.name),
        customer_id=_customer_id(event, found["customer"] or found["offered"]),
        meter=event.name,
        property_name=property_name,
        parts=note.parts(rules.split(RULE_SEPARATOR), units) if note else (Part(rule=rules, units=units),),
        order_id=_order_id(event.metadata, found),
        reason="" if note or takes_back or found["adjusted"] else reason,
        revision=_revision(reason) if found["adjusted"] else None,
        period=note.period if note else None,
    )
    return RecordedGrant(event_id=event_id, grant=grant, at=event.timestamp)


def _units(metadata: dict[str, Any]) -> tuple[str, Decimal]:
    """Return the property that the meter sums, and the credits. Polar keeps credits as negative numbers."""
    numbers = {
        name: one
        for name, one in metadata.items()
        if name not in RESERVED_PROPERTIES and type(one) in {int, float}
    }
    if len(numbers) != 1:
        raise _NotOursError("it has no number of credits" if not numbers else "it has more than one number")
    ((property_name, number),) = numbers.items()
    units = -Decimal(str(number)).normalize()
    if not units.is_finite() or not units or units.adjusted() >= MAX_DIGITS:
        raise _NotOursError("it has no number of credits")
    return property_name, units


def _check_sign(units: Decimal, *, takes_back: bool) -> None:
    if units < 0 and not takes_back:
        raise _NotOursError("it takes credits back, but its key is that of a grant")
    if units > 0 and takes_back:
        raise _NotOursError("it grants credits, but its key is that of a take-back")


def _revision(reason: str) -> Revision | None:
    """Return what an adjustment leads from and to; None if somebody has changed its reason."""
    found = _REVISION.fullmatch(reason)
    return Revision(before=Decimal(found[1]), after=Decimal(found[2])) if found else None


def _customer_id(event: _Event, in_key: str | None) -> str:
    customer_id = event.customer_id or in_key
    if customer_id is None:
        raise _NotOursError("it names no customer")
    if in_key not in {None, customer_id}:
        raise _NotOursError("its key names another customer")
    return customer_id


def _order_id(metadata: dict[str, Any], found: dict[str, str | None]) -> str | None:
    order_id = _text(metadata, "order_id") or None
    if found["lost"]:
        if order_id is None or re.fullmatch(_UUID, order_id) is None:
            raise _NotOursError("it names no order")
        return order_id
    kinds = ("order", "later", "refunded", "revoked", "adjusted")
    in_key = next((found[kind] for kind in kinds if found[kind]), None)
    if found["customer"] and (order_id is None or re.fullmatch(_UUID, order_id)):
        return order_id  # the order that earned this bonus, if there was one
    if order_id != in_key:
        raise _NotOursError("the order in its key is not its order_id")
    return order_id


def _rules(metadata: dict[str, Any], found: dict[str, str | None]) -> str:
    if found["hand"]:
        return NO_RULE
    rules = found["rule"] or _text(metadata, "rules")
    if _RULES.fullmatch(rules) is None:
        raise _NotOursError("it names no rules")
    return rules


def _text(metadata: dict[str, Any], name: str) -> str:
    found = metadata.get(name)
    return found if isinstance(found, str) else ""


def usage_event(grant: Grant) -> dict[str, Any]:
    """Return the event to ingest. Its value is negative: usage below zero is credit on a Sum meter.

    It has no timestamp. Polar sets its own, and refuses a timestamp that is a second ahead of its clock.
    """
    return {
        "name": grant.meter,
        "customer_id": grant.customer_id,
        "external_id": grant.key,
        "metadata": _metadata(grant),
    }


def _metadata(grant: Grant) -> dict[str, str | int | float]:
    """Return the metadata. ``rebuild`` needs ``granted_by`` and ``key``."""
    metadata = {
        grant.property_name: json_number(-grant.units),
        "granted_by": GRANTED_BY,
        "key": grant.key,
    }
    if grant.order_id:
        metadata["order_id"] = grant.order_id
    if grant.rules:  # Polar refuses empty text
        metadata["rules"] = RULE_SEPARATOR.join(grant.rules)[:LONGEST_TEXT]
    if reason := grant_reason(grant) or period_note(grant):
        metadata["reason"] = reason
    return metadata


def grant_reason(grant: Grant) -> str:
    """Return the reason that a person gave, or why a grant changes what was credited before; else ``""``."""
    if grant.reason:
        return grant.reason
    if revision := grant.revision:  # a rebuild needs both amounts
        return f"adjust from {plain(revision.before)} to {plain(revision.after)}"
    if not is_correction(grant.subject):
        return ""
    return next(reason for prefix, reason in _CORRECTIONS.items() if grant.subject.startswith(prefix))


def json_number(units: Decimal) -> int | float:
    """Return a JSON number. It is exact, because amounts have no more digits than a double keeps."""
    return int(units) if units == units.to_integral_value() else float(units)
