"""Prints grants by hand: what a run would do, and what it did."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from uuid import UUID

from app.cli.output import Cell, console, literal, print_first, print_json, print_table
from app.cli.shapes import GrantJson, MadeGrantJson, WantedGrantJson
from app.cli.to_json import grant_json, grants_json
from config.wording import format_count
from workers.core.claims import Standing
from workers.core.wording import plain
from workers.operations.manual_grant.preview import GrantPreview

_NO_CUSTOMER_YET = str(UUID(int=0))  # Polar assigns the id when it creates the customer


def print_previews(previews: Sequence[GrantPreview], *, json: bool, single: bool) -> None:
    """Print what a run would do; ``single`` if the grant was given by options, not in a file."""
    if json:
        rows = [_planned_json(preview) for preview in previews]
        print_json(rows[0] if single else rows)
        return
    table: list[list[Cell]] = [
        [preview.request.customer.text, preview.request.key, preview.dry_run_text, preview.request.place]
        for preview in previews
        if single or not preview.is_done  # when a file is run again, only the rest is of interest
    ]
    if table:
        print_first(["customer", "key", "grant would", "" if single else "line"], table)
    if not single:
        print_table(["", ""], [["", text] for text in _summarize(previews)])


def print_done(
    previews: Sequence[GrantPreview],
    standings: Mapping[str, Standing],
    reasons: Mapping[str, str],
    *,
    json: bool,
    single: bool,
) -> bool:
    """Print what became of each grant, as the ledger has it; return whether Polar has them all."""
    rows = [_done_json(preview, standings[preview.request.subject], reasons) for preview in previews]
    left = [row for row in rows if row["status"] != "granted"]
    if json:
        print_json(rows[0] if single else rows)
        return not left
    granted = sum(not preview.is_done for preview in previews) - len(left)
    already = sum(preview.is_done for preview in previews)
    counts = {"granted": granted, "already granted": already, "not granted": len(left)}
    console().print(", ".join(f"{count} {label}" for label, count in counts.items() if count))
    if left:
        table: list[list[Cell]] = [[row["key"], row["status"], row["reason"] or "-"] for row in left]
        print_first(["key", "status", "reason"], table)
    elif single:
        console().print(literal(f"key {rows[0]['key']}, customer {rows[0]['customer_id']}"))
    return not left


def _summarize(previews: Sequence[GrantPreview]) -> Iterator[str]:
    """Yield the totals."""
    todo = [preview for preview in previews if not preview.is_done]
    yield f"{len(todo)} to grant: {_total(todo)}" if todo else "nothing to grant"
    if 0 < len(todo) < len(previews):
        yield f"{len(previews) - len(todo)} already granted"
    if missing := {preview.request.customer for preview in todo if preview.new_customer}:
        yield f"{format_count(len(missing), 'customer')} to create"


def _total(previews: Sequence[GrantPreview]) -> str:
    totals: dict[str, Decimal] = {}
    for preview in previews:
        name = preview.request.meter.name
        totals[name] = totals.get(name, Decimal(0)) + preview.request.units
    return ", ".join(f"{plain(total)} {name}" for name, total in sorted(totals.items()))


def _planned_json(preview: GrantPreview) -> WantedGrantJson:
    found = grants_json(preview.claim) if preview.claim else [_requested_json(preview, "planned")]
    return {**found[0], "customer": preview.request.customer.text, "would": preview.dry_run_text}


def _done_json(preview: GrantPreview, standing: Standing, reasons: Mapping[str, str]) -> MadeGrantJson:
    found = grants_json(standing.own) if standing.own else [_requested_json(preview, "waiting")]
    is_there = found[0]["status"] == "granted"
    default = "claimed, not at Polar yet" if standing.own else "not started"
    reason = None if is_there else reasons.get(preview.request.delivery_id, default)
    return {
        **found[0],
        "customer": preview.request.customer.text,
        "already_granted": preview.is_done,
        "reason": reason,
    }


def _requested_json(preview: GrantPreview, status: str) -> GrantJson:
    """Return the JSON of a grant that is not in the ledger yet."""
    (grant,) = preview.request.for_customer(preview.customer_id or _NO_CUSTOMER_YET).plan().grants
    return {**grant_json(grant, status, preview.request.delivery_id), "customer_id": preview.customer_id}
