"""What the log says of what became of deliveries: a line for each, with all that it can be looked up by."""

import logging
from collections.abc import Iterable, Mapping

import structlog

from workers.core.claims import Standing
from workers.core.delivery import Outcome, Status
from workers.core.grants import Grant
from workers.core.wording import credits_text

log = structlog.get_logger(__name__)


def tell(
    outcomes: Iterable[Outcome],
    accepted: Iterable[Grant],
    makers: Mapping[str, str],
    standings: Mapping[str, Standing],
) -> None:
    """Tell of each outcome: what it credited (``accepted``), or what stands for the fact that it tells of.

    ``makers`` maps the key of each grant that was open to the delivery that made it.
    """
    given: dict[str, list[Grant]] = {}
    for grant in accepted:
        given.setdefault(makers[grant.key], []).append(grant)
    for outcome in outcomes:
        grants = given.get(outcome.delivery_id, [])
        about = grants or _standing_for(outcome.delivery_id, standings)
        log.log(
            _level(outcome),
            outcome.status.value,
            delivery=outcome.delivery_id,
            order=outcome.order_id or None,
            customer=outcome.customer_id or None,
            credits=credits_text(grants) if grants else None,
            rules=sorted({rule for grant in about for rule in grant.rules}) or None,
            keys=sorted(grant.key for grant in about) or None,
            reason=None if grants and outcome.status is Status.GRANTED else outcome.reason or None,
        )


def _standing_for(delivery_id: str, standings: Mapping[str, Standing]) -> list[Grant]:
    """Return what was frozen for the fact that a delivery tells of, by whichever delivery."""
    standing = standings.get(delivery_id)
    return [grant for claim in standing.claims for grant in claim.grants] if standing else []


def _level(outcome: Outcome) -> int:
    if outcome.status is Status.FAILED:
        return logging.ERROR
    if outcome.status is Status.WAITING:
        # Of a pause one line tells already; a delivery that alone goes wrong has none but this.
        return logging.WARNING if outcome.strike else logging.DEBUG
    return logging.INFO
