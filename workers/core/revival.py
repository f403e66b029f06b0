"""Decides what a dismissed revoke by hand gives up when a person replays it, so that it is decided anew."""

from collections.abc import Mapping
from decimal import Decimal

from msgspec.structs import replace

from workers.core.claims import Claim, Standing
from workers.core.grants import REVOKE, Grant


def revived(standing: Standing, delivery_id: str, *, is_revoke: bool) -> Standing:
    """Return the standing as it is once a person has replayed this take-back's delivery by name.

    If that is the person's request to revoke (``is_revoke``), a revoke that Polar lacks is decided anew.
    Other claims that were dismissed with it are sent as they are.
    """
    claims: list[Claim] = []
    taken = dict(standing.taken)
    for claim in standing.claims:
        if not claim.is_dismissed or claim.delivery_id != delivery_id:
            claims.append(claim)
        elif not is_revoke or (left := without_revoke(taken, claim)) is None:
            claims.append(replace(claim, is_dismissed=False))
        else:
            taken = left
    return replace(standing, claims=tuple(claims), taken=taken)


def without_revoke(
    taken: Mapping[str, Mapping[str, Decimal]], claim: Claim
) -> dict[str, Mapping[str, Decimal]] | None:
    """Return what counts as taken without a revoke that is decided anew; None if it is not."""
    if not claim.subject.startswith(REVOKE) or not claim.is_dismissed or claim.settled:
        return None
    (grant,) = claim.grants
    rules = _without_grant(taken.get(grant.meter, {}), grant)
    if rules is None:
        return None
    others = {meter: each for meter, each in taken.items() if meter != grant.meter}
    return {**others, grant.meter: rules} if rules else others


def _without_grant(rules: Mapping[str, Decimal], grant: Grant) -> dict[str, Decimal] | None:
    left = dict(rules)
    for part in grant.parts:
        if part.rule not in left or (rest := left.pop(part.rule) + part.units) < 0:
            return None
        if rest:
            left[part.rule] = rest
    return left
