"""Prints a customer's whole story: what arrived about them, what became of it, and what they were given."""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

from app.cli.output import Cell, console, literal, print_json, print_table, status_text
from app.cli.shapes import CustomerStoryJson, StoryMeterJson
from app.cli.to_json import delivery_json, entry_json, json_number
from workers.core.delivery import Delivery, Status
from workers.core.grants import Grant
from workers.core.wording import credits_text, plain, utc
from workers.operations.history import CustomerHistory

_ZERO = Decimal(0)


def print_story(history: CustomerHistory, products: Mapping[str, str], *, json: bool) -> None:
    """Print a customer's deliveries, oldest first, with the credits of each, and the totals by meter.

    ``products`` has the names of what was bought, by delivery, as far as they are known.
    """
    if json:
        print_json(_json(history))
        return
    if not history.deliveries and not history.entries:
        text = (
            f"nothing is stored about customer {history.customer_id}: `credits recover` finds lost webhooks"
        )
        console().print(literal(text))
        return
    console().print(literal(f"customer {history.customer_id}"))
    given = _grants_by_delivery(history)
    rows: list[list[Cell]] = [
        _row(one, products.get(one.id, ""), given.get(one.id, [])) for one in history.deliveries
    ]
    print_table(["received", "type", "status", "order", "product", "credits", "reason"], rows)
    console().print()
    totals: list[list[Cell]] = [
        [meter, plain(granted), plain(taken_back)]
        for meter, (granted, taken_back) in _totals(history).items()
    ]
    print_table(["meter", "granted", "taken back"], totals)
    for text in _next_steps(history):
        console().print(literal(text))


def _row(one: Delivery, product: str, grants: list[Grant]) -> list[Cell]:
    credited = credits_text(grants) if grants else "-"
    reason = "" if one.status is Status.GRANTED else one.reason
    return [
        utc(one.received_at),
        one.type or "?",
        status_text(one.status),
        one.order_id or "-",
        product or "-",
        credited,
        reason,
    ]


def _next_steps(history: CustomerHistory) -> list[str]:
    """Return a command for each delivery that a person can do something about."""
    return [
        f"{one.id} failed: fix the cause, then `credits replay {one.id}`"
        for one in history.deliveries
        if one.status is Status.FAILED
    ]


def _grants_by_delivery(history: CustomerHistory) -> Mapping[str, list[Grant]]:
    found: dict[str, list[Grant]] = defaultdict(list)
    for entry in history.entries:
        found[entry.delivery_id].append(entry.grant)
    return found


def _totals(history: CustomerHistory) -> dict[str, tuple[Decimal, Decimal]]:
    """Return how much was granted and how much was taken back, both positive, by meter."""
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for entry in history.entries:
        if entry.granted_at is None:
            continue
        granted, taken_back = found.get(entry.grant.meter, (_ZERO, _ZERO))
        units = entry.grant.units
        found[entry.grant.meter] = (granted + max(units, _ZERO), taken_back + max(-units, _ZERO))
    return dict(sorted(found.items()))


def _json(history: CustomerHistory) -> CustomerStoryJson:
    meters: dict[str, StoryMeterJson] = {
        meter: {"granted": json_number(plain(granted)), "taken_back": json_number(plain(taken_back))}
        for meter, (granted, taken_back) in _totals(history).items()
    }
    return {
        "customer_id": history.customer_id,
        "deliveries": [delivery_json(one) for one in history.deliveries],
        "grants": [entry_json(one) for one in history.entries],
        "meters": meters,
    }
