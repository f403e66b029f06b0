"""How grants by hand are shown: what would come of them, and what did."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from uuid import UUID

from app.cli.batches import counted, print_some
from app.cli.output import Cell, console, grant_json, grants_json, literal, print_json, print_table
from app.cli.shapes import GrantJson, MadeGrantJson, WantedGrantJson
from workers.core.claims import Standing
from workers.core.wording import plain
from workers.operations.manual_grant.preview import Offer

_NOBODY_YET = str(UUID(int=0))  # instead of an id that Polar gives when it creates the customer


def print_offers(offers: Sequence[Offer], *, json: bool, single: bool) -> None:
    """Show what a run would come to; ``single``: it was asked for by options, not by a file."""
    if json:
        rows = [_planned_json(offer) for offer in offers]
        print_json(rows[0] if single else rows)
        return
    table: list[list[Cell]] = [
        [offer.wish.customer.text, offer.wish.key, offer.would, offer.wish.place]
        for offer in offers
        if single or not offer.is_done  # of a file that is run again only the rest is news
    ]
    if table:
        print_some(["customer", "key", "would", "" if single else "line"], table)
    if not single:
        print_table(["", ""], [["", words] for words in _sums(offers)])


def print_done(
    offers: Sequence[Offer],
    standings: Mapping[str, Standing],
    reasons: Mapping[str, str],
    *,
    json: bool,
    single: bool,
) -> bool:
    """Show what came of each, by the ledger; return whether Polar has them all."""
    rows = [_done_json(offer, standings[offer.wish.subject], reasons) for offer in offers]
    left = [row for row in rows if row["status"] != "granted"]
    if json:
        print_json(rows[0] if single else rows)
        return not left
    granted = sum(not offer.is_done for offer in offers) - len(left)
    already = sum(offer.is_done for offer in offers)
    counts = {"granted": granted, "already granted": already, "not granted": len(left)}
    console().print(", ".join(f"{count} {words}" for words, count in counts.items() if count))
    if left:
        table: list[list[Cell]] = [[row["key"], row["status"], row["reason"] or "-"] for row in left]
        print_some(["key", "is", "reason"], table)
    elif single:
        console().print(literal(f"as {rows[0]['key']}, to customer {rows[0]['customer_id']}"))
    return not left


def _sums(offers: Sequence[Offer]) -> Iterator[str]:
    """Yield what all of it comes to."""
    todo = [offer for offer in offers if not offer.is_done]
    yield f"{len(todo)} to grant: {_total(todo)}" if todo else "nothing to grant"
    if 0 < len(todo) < len(offers):
        yield f"{len(offers) - len(todo)} already granted"
    if missing := {offer.wish.customer for offer in todo if offer.newcomer}:
        yield f"{counted(len(missing), 'customer')} to create"


def _total(offers: Sequence[Offer]) -> str:
    totals: dict[str, Decimal] = {}
    for offer in offers:
        name = offer.wish.meter.name
        totals[name] = totals.get(name, Decimal(0)) + offer.wish.units
    return ", ".join(f"{plain(total)} {name}" for name, total in sorted(totals.items()))


def _planned_json(offer: Offer) -> WantedGrantJson:
    found = grants_json(offer.claim) if offer.claim else [_asked_json(offer, "planned")]
    return {**found[0], "customer": offer.wish.customer.text, "would": offer.would}


def _done_json(offer: Offer, standing: Standing, reasons: Mapping[str, str]) -> MadeGrantJson:
    found = grants_json(standing.own) if standing.own else [_asked_json(offer, "waiting")]
    is_there = found[0]["status"] == "granted"
    left = "begun, and not at Polar yet" if standing.own else "not begun"
    why = None if is_there else reasons.get(offer.wish.delivery_id, left)
    return {
        **found[0],
        "customer": offer.wish.customer.text,
        "already_granted": offer.is_done,
        "reason": why,
    }


def _asked_json(offer: Offer, status: str) -> GrantJson:
    """Return a grant that is not in the ledger yet, in the form of those that are."""
    (grant,) = offer.wish.for_customer(offer.customer_id or _NOBODY_YET).plan().grants
    return {**grant_json(grant, status, offer.wish.delivery_id), "customer_id": offer.customer_id}
