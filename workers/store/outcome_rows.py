"""Writes outcomes and accepted grants as ``settle.lua`` takes them; its first comment says what they are."""

from workers.core.delivery import Outcome, PutBack, Status
from workers.core.grants import Grant
from workers.core.next_instalments import NextInstalment
from workers.store.ledger_hashes import grant_text
from workers.store.rows import Row, Values
from workers.store.scripts import milliseconds_of


def accepted_values(grant: Grant, *, is_unconfirmed: bool, following: NextInstalment | None) -> Values:
    """Return a grant that Polar has accepted, for ``settle.lua``."""
    more: Row = {"unconfirmed": True} if is_unconfirmed else {}
    if following:
        more["next"] = {"member": instalment_member(following), "at": str(milliseconds_of(following.at))}
    return (grant.subject, grant.meter, float(grant.units), grant_text(grant), more or False)


def instalment_member(one: NextInstalment) -> str:
    """Return an instalment as a member of the sorted set of those to come."""
    return f"{one.order_id} {one.number} {one.meter}"


def outcome_values(outcome: Outcome) -> Values:
    """Return an outcome, for ``settle.lua``."""
    return (
        outcome.delivery_id,
        outcome.attempt,
        outcome.status,
        outcome.reason,
        outcome.subject,
        outcome.order_id,
        outcome.customer_id,
        _more_of(outcome) or False,
    )


def _more_of(outcome: Outcome) -> Row:
    """Return the values that only few outcomes have."""
    more: Row = {}
    if outcome.status is not Status.WAITING or outcome.put_back:
        more |= _reliance_row(outcome)
    if outcome.refusal:
        more["refusal"] = outcome.refusal
    if outcome.refunded_amount is not None:
        more["refunded_amount"] = outcome.refunded_amount
    if outcome.dispute_id is not None:
        more["dispute"] = outcome.dispute_id
    if outcome.refused:
        more["refused"] = outcome.refused
    if outcome.ended:
        more["ended"] = {"meter": outcome.ended.meter, "reason": outcome.ended.reason}
    if outcome.put_back:
        more["put_back"] = _put_back_row(outcome.order_id, outcome.put_back)
    elif outcome.status is Status.WAITING:
        more |= {"after_ms": round(outcome.after_seconds * 1000), "strike": outcome.strike}
    return more


def _reliance_row(outcome: Outcome) -> Row:
    row: Row = {} if outcome.relies_on == (outcome.subject,) else {"relies_on": outcome.relies_on}
    return row | {"is_shown": True} if outcome.is_shown else row


def _put_back_row(order_id: str, back: PutBack) -> Row:
    one = NextInstalment(order_id=order_id, number=back.number, meter=back.meter, at=back.until)
    row: Row = {
        "member": instalment_member(one),
        "at": str(milliseconds_of(back.until)),
        "meter": back.meter,
        "reason": back.reason,
    }
    return row | {"polar_now": milliseconds_of(back.too_early_at)} if back.too_early_at else row
