"""``credits send --event``: a sample credit event, signed as the service does, to try a storefront with."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import click
import httpx

from app.cli.sent import post_signed
from config.settings import Settings
from config.wording import joined, quoted
from workers.core.claims import Claim, Standing
from workers.core.credit_events import CreditEvent, failure_event, grant_event
from workers.core.event_names import FAILED, GRANTED, TAKEN_BACK, EventName, Failure
from workers.core.grants import Grant, Part, order_subject, refund_subject
from workers.operations.outbox.receiver import event_headers

TYPES = (GRANTED, TAKEN_BACK, FAILED)

_CUSTOMER = "99130a7b-29f6-4003-9a81-21b0361c7186"  # of the sample webhooks, like the amount
_EXTERNAL_ID = "user_42"
_UNITS = Decimal(100)
_CENTS = 1000


def send_sample_event(
    settings: Settings, type_: str, *, url: str | None, customer: str | None, order: str | None
) -> httpx.Response:
    """Send a sample event to ``url``, or else to CREDITS_EVENTS_URL; CommandError without an answer."""
    if type_ not in TYPES:
        raise click.UsageError(f"no type {quoted(type_)} of credit events; there are {joined(TYPES)}")
    secret = settings.require_events_secret()
    event = sample_event(type_, customer=customer or _CUSTOMER, order=order or str(uuid4()))
    return post_signed(url or settings.require_events()[0], event.body, event_headers(secret, event))


def sample_event(type_: str, *, customer: str, order: str) -> CreditEvent:
    """Return an event that tells of a grant of an order now, of its take-back, or of its failure."""
    now, is_taken = datetime.now(UTC), type_ == TAKEN_BACK
    grant = Grant(
        subject=refund_subject(order, _CENTS) if is_taken else order_subject(order),
        customer_id=customer,
        meter="api_usage",
        property_name="units",
        parts=(Part(rule="starter-pack", units=-_UNITS if is_taken else _UNITS),),
        order_id=order,
    )
    settled = {} if type_ == FAILED else {grant.meter: now}
    claim = Claim(
        subject=grant.subject, delivery_id=str(uuid4()), claimed_at=now, grants=(grant,), settled=settled
    )
    if type_ != FAILED:
        return grant_event(claim, grant, _EXTERNAL_ID)
    failure = Failure(
        at=now, reason="refused by Polar: this is a sample", order_id=order, customer_id=customer
    )
    standing = Standing(subject=claim.subject, claims=(claim,))
    return failure_event(EventName.of_failure(claim.delivery_id, 1), failure, standing, _EXTERNAL_ID)
