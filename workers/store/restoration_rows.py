"""Writes what Polar has of the ledger as the scripts take it that restore, correct and confirm."""

from workers.core.claims import REBUILD, Claim
from workers.core.confirmations import Reading
from workers.core.grants import Grant
from workers.core.later_claims import TakeBack
from workers.core.restorations import Correction, Restoration
from workers.core.wording import plain
from workers.store.claim_rows import claim_row
from workers.store.later_claim_rows import changes_of, later_claim_row, take_back_row
from workers.store.ledger_hashes import grant_text
from workers.store.rows import Row
from workers.store.scripts import milliseconds_of


def restoration_row(one: Restoration) -> Row:
    """Return a restoration for ``restore.lua``."""
    oldest = min(moment for meters in one.times.values() for moment in meters.values())
    return {
        "claimed_by": one.claimed_by,
        "plan": claim_row(REBUILD, one.plan),
        "taken_back": [take_back_row(each) for each in one.taken],
        "settled": [
            {
                "subject": subject,
                "claimed_at": str(milliseconds_of(min(meters.values(), default=oldest))),
                "meters": [
                    {"meter": meter, "at": str(milliseconds_of(moment))} for meter, moment in meters.items()
                ],
            }
            for subject, meters in one.times.items()
        ],
    }


def correction_row(one: Correction) -> Row:
    """Return a correction for ``correct.lua``."""
    before = [_as_take_back(one, claim, then) for claim, then, _ in one.grants]
    after = [_as_take_back(one, claim, now) for claim, _, now in one.grants]
    return {
        "fact": one.subject,
        "changes": changes_of(before[0]),
        "read": [later_claim_row(each) for each in before],
        "corrected": [later_claim_row(each) for each in after],
    }


def reading_row(one: Reading) -> Row:
    """Return what Polar has of an unconfirmed grant, for ``confirm.lua``."""
    row: Row = {
        "subject": one.grant.subject,
        "meter": one.grant.meter,
        "grant": grant_text(one.grant),
        "ledger": plain(one.grant.units),
        "is_equal": one.is_equal,
        "polar": one.polar,
    }
    wait = one.read_again_after
    return row if wait is None else row | {"after_ms": int(wait.total_seconds() * 1000)}


def _as_take_back(one: Correction, claim: Claim, grant: Grant) -> TakeBack:
    """Return one grant of a correction as a take-back, which is written in the same way."""
    return TakeBack(
        delivery_id=claim.delivery_id,
        subject=one.subject,
        grants=(grant,),
        before=one.before,
        after=one.after,
        adjusted=one.adjusted,
    )
