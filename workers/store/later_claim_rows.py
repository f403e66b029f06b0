"""Writes take-backs, adjustments and later instalments as ``take_back.lua`` takes them."""

from workers.core.later_claims import Adjustment, Instalment, LaterClaim, TakeBack
from workers.store.claim_rows import fields_row
from workers.store.ledger_hashes import (
    ADJUSTED,
    BEGUN,
    DISPUTE,
    ENDED,
    GRANT,
    REFUNDED_AMOUNT,
    REFUNDED_SHARE,
    TAKEN,
    grant_text,
    ratio_text,
    taken_text,
)
from workers.store.rows import Row

_SECOND = 2  # the first instalment is the order's own grant, which needs no count


def take_back_row(one: LaterClaim, attempt: int | None = None) -> Row:
    """Return such a claim for ``take_back.lua``; without ``attempt`` it needs no lease."""
    is_linked = not isinstance(one, Instalment)  # an order finds its instalments by their number
    changes = _begun_changes(one) if isinstance(one, Instalment) else changes_of(one)
    row: Row = {"order": one.subject, "changes": changes, "link": is_linked, **later_claim_row(one)}
    return row if attempt is None else row | {"lease": _lease_row(one.delivery_id, attempt)}


def _lease_row(delivery_id: str, attempt: int) -> Row:
    return {"delivery": delivery_id, "attempt": str(attempt)}


def later_claim_row(one: LaterClaim) -> Row:
    """Return such a claim alone."""
    return fields_row(one.grants[0].subject, one.delivery_id, one.grants)


def changes_of(one: TakeBack | Adjustment) -> list[Row]:
    """Return the fields of the order that a correction was computed from, before and after it."""
    if isinstance(one, Adjustment):
        adjusted_before, before, after = one.before, one.taken, one.taken
    else:
        adjusted_before, before, after = one.adjusted, one.before, one.after
    changes: list[Row] = [
        {
            "field": TAKEN + meter,
            "before": taken_text(before.get(meter, {})),
            "after": taken_text(after.get(meter, {})),
        }
        for meter in {**before, **after}
    ]
    changes.append(
        {
            "field": ADJUSTED,
            "before": str(adjusted_before or ""),
            "after": str(one.adjusted or ""),
        }
    )
    begun = one.begun if isinstance(one, TakeBack) else {}
    return [
        *changes,
        # A take-back is a share of these grants, with as many instalments as have begun.
        *(_unchanged(GRANT + grant.meter, grant_text(grant)) for grant in one.computed_from),
        *(
            _unchanged(BEGUN + grant.meter, str(begun.get(grant.meter, "")))
            for grant in one.computed_from
            if any(part.every for part in grant.parts)
        ),
    ]


def _begun_changes(one: Instalment) -> list[Row]:
    """Return the fields of the order that decide about an instalment, and the number that it changes."""
    grant, refund = one.computed_from, one.refund
    meter = grant.meter
    return [
        {
            "field": BEGUN + meter,
            "before": str(one.number - 1) if one.number > _SECOND else "",
            "after": str(one.number),
        },
        _unchanged(ENDED + meter, ""),
        _unchanged(GRANT + meter, grant_text(grant)),
        _unchanged(TAKEN + meter, taken_text(one.taken)),
        _unchanged(REFUNDED_AMOUNT, str(refund.amount) if refund else ""),
        _unchanged(REFUNDED_SHARE, ratio_text(refund.share) if refund else ""),
        *(_unchanged(DISPUTE + each.id, ratio_text(each.share)) for each in one.disputes),
    ]


def _unchanged(field: str, text: str) -> Row:
    return {"field": field, "before": text, "after": text}
