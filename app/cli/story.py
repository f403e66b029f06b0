"""Prints a customer's whole story: what arrived about them, what became of it, and what they were given."""

import sys
from collections.abc import Callable, Mapping

from app.cli.output import Cell, console, literal, print_json, print_table, status_text, streamed
from app.cli.shapes import CustomerStoryJson, StoryMeterJson
from app.cli.to_json import delivery_json, entry_json, json_number
from workers.core.delivery import Delivery, Status
from workers.core.grants import Grant
from workers.core.wording import credits_text, plain, utc
from workers.operations.history import CustomerHistory, Totals
from workers.operations.whole_history import WholeHistory


def print_story_json(history: WholeHistory) -> None:
    """Print all that is stored about a customer, as JSON."""
    print_json(_json(history))


def print_story(
    history: CustomerHistory, products: Mapping[str, str], find_totals: Callable[[], Totals]
) -> None:
    """Print a customer's deliveries, oldest first, with the credits of each, and the totals by meter.

    ``products`` maps deliveries to the names of what was bought, where these are known. ``find_totals`` may
    be slow, so it is called after the list is printed.
    """
    if not history.deliveries and not history.entries:
        text = (
            f"nothing is stored about customer {history.customer_id}: `credits recover` finds lost webhooks"
        )
        console().print(literal(text))
        return
    console().print(literal(f"customer {history.customer_id}"))
    given = history.by_delivery
    rows: list[list[Cell]] = [
        _row(one, products.get(one.id, ""), given.get(one.id, [])) for one in history.deliveries
    ]
    print_table(["received", "type", "status", "order", "product", "credits", "reason"], rows)
    console().print()
    sys.stdout.flush()
    totals: list[list[Cell]] = [
        [meter, plain(granted), plain(taken_back)] for meter, (granted, taken_back) in find_totals().items()
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


def _json(history: WholeHistory) -> CustomerStoryJson:
    meters: dict[str, StoryMeterJson] = {
        meter: {"granted": json_number(plain(granted)), "taken_back": json_number(plain(taken_back))}
        for meter, (granted, taken_back) in history.totals.items()
    }
    return {
        "customer_id": history.customer_id,
        "deliveries": streamed(map(delivery_json, history.deliveries)),
        "grants": streamed(map(entry_json, history.entries)),
        "meters": meters,
    }
