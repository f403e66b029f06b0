"""Logs the outcome of each delivery in one line, with every id that somebody may search for."""

import logging
from collections.abc import Iterable, Mapping

from config.log import get_log
from workers.core.claims import Standing
from workers.core.delivery import Outcome, Status
from workers.core.grants import Grant
from workers.core.wording import credits_text

log = get_log(__name__)


def log_outcomes(
    outcomes: Iterable[Outcome],
    accepted: Iterable[Grant],
    makers: Mapping[str, str],
    standings: Mapping[str, Standing],
) -> None:
    """Log each outcome with the grants that it made, or those that the ledger has for its fact.

    ``accepted`` are the grants that Polar has just accepted. ``makers`` maps the key of each grant that was
    unsettled to the delivery that made it.
    """
    made: dict[str, list[Grant]] = {}
    for grant in accepted:
        made.setdefault(makers[grant.key], []).append(grant)
    lines = log.bind()  # once, because a module's logger looks its methods up for each line
    for outcome in outcomes:
        grants = made.get(outcome.delivery_id, [])
        related = grants or _claimed_for(outcome.delivery_id, standings)
        lines.log(
            _level(outcome),
            outcome.status.value,
            delivery=outcome.delivery_id,
            order=outcome.order_id or None,
            customer=outcome.customer_id or None,
            credits=credits_text(grants) if grants else None,
            rules=sorted({rule for grant in related for rule in grant.rules}) or None,
            keys=sorted(grant.key for grant in related) or None,
            reason=None if grants and outcome.status is Status.GRANTED else outcome.reason or None,
        )


def _claimed_for(delivery_id: str, standings: Mapping[str, Standing]) -> list[Grant]:
    """Return the grants that are claimed for the delivery's fact, whichever delivery claimed them."""
    standing = standings.get(delivery_id)
    return [grant for claim in standing.claims for grant in claim.grants] if standing else []


def _level(outcome: Outcome) -> int:
    if outcome.status is Status.FAILED:
        return logging.ERROR
    if outcome.status is Status.WAITING:
        # A pause has a log line of its own; a delivery that fails alone has only this one.
        return logging.WARNING if outcome.strike else logging.DEBUG
    return logging.INFO
