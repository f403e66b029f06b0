"""Writes what an operator can paste into the reply to a customer who asks for their credits."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from app.desk.rendering import format_number
from workers.core.claims import Entry
from workers.core.delivery import Delivery, Status
from workers.core.envelope import ORDER_PAID
from workers.core.grants import REFUND
from workers.core.upcoming import Upcoming
from workers.operations.history import CustomerHistory

_MOST_LINES = 10


def reply_text(
    history: CustomerHistory,
    products: Mapping[str, str],
    balances: Mapping[str, Decimal],
    upcoming: Sequence[Upcoming] = (),
) -> str:
    """Return the text: the newest grants, what is on its way or to come, and the balances that are known.

    ``products`` are names by delivery.
    """
    confirmed = [one for one in history.entries if one.granted_at is not None]
    lines = [_line(one, products.get(one.delivery_id, "")) for one in confirmed[:_MOST_LINES]]
    if more := len(confirmed) - len(lines):
        lines.append(f"- and {'many' if history.next else more} earlier")
    beginning = "This is what happened to your credits:" if lines else "We have not added any credits yet."
    parts = ["\n".join([beginning, *lines]), *_on_their_way(history.deliveries)]
    if balances:
        left = ", ".join(f"{format_number(units)} {meter}" for meter, units in sorted(balances.items()))
        parts.append(f"Your balance is now {left}.")
    parts += [_to_come(one) for one in upcoming]
    return "\n\n".join(["Hello,", *parts, "Kind regards"])


def _to_come(one: Upcoming) -> str:
    credits_ = f"{format_number(one.grant.units)} {one.grant.meter}"
    if one.waits:
        return f"The next {credits_} follow when your subscription is paid and active again."
    return f"The next {credits_} follow on {one.at.day} {one.at:%B %Y}."


def _line(one: Entry, product: str) -> str:
    at = one.granted_at or one.claimed_at
    what = f" for {product}" if product and one.grant.units > 0 else ""
    verb = "added" if one.grant.units > 0 else _taken_text(one)
    credits_ = f"{format_number(abs(one.grant.units))} {one.grant.meter}"
    return f"- {at.day} {at:%B %Y}: {credits_} {verb}{what}"


def _taken_text(one: Entry) -> str:
    return "taken back after a refund" if one.grant.subject.startswith(REFUND) else "taken back"


def _on_their_way(deliveries: Sequence[Delivery]) -> Iterator[str]:
    waiting = sum(one.type == ORDER_PAID and one.status is Status.WAITING for one in deliveries)
    failed = sum(one.type == ORDER_PAID and one.status is Status.FAILED for one in deliveries)
    if waiting:
        yield "The credits of your newest order are on their way."
    if failed:
        yield "The credits of one of your orders could not be added yet. We are looking into it."
