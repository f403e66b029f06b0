"""``credits show``: one delivery, and the grants that it led to."""

import json as json_module

import click

from app.cli.find_delivery import find_deliveries
from app.cli.options import json_option
from app.cli.output import (
    Cell,
    claim_rows,
    console,
    describe_erasure,
    format_age,
    literal,
    print_json,
    print_table,
    status_text,
    with_product,
)
from app.cli.settings import read_settings
from app.cli.shapes import ShownJson
from app.cli.stores import open_stores_to_read
from app.cli.to_json import delivery_json, grants_json, iso, iso_or_none
from app.cli.upcoming_output import upcoming_json, upcoming_rows
from workers.core.claims import Standing
from workers.core.delivery import Delivery, Status
from workers.core.manual import MANUAL_GRANT, ManualGrant, read_request
from workers.core.products import product_name
from workers.core.upcoming import upcoming
from workers.core.wording import utc


@click.command("show")
@click.argument("delivery", help="A delivery's id (Polar's webhook-id), or its start.")
@click.option("--body", is_flag=True, help="Also print the body (--json always has it).")
@json_option
def show(delivery: str, body: bool, json: bool) -> None:
    """Show one delivery and the grants that it led to.

    Example: credits show 2d568d44-4cac-4ddb-ba1c-e3a1e54e1735
    """
    with open_stores_to_read(read_settings("show")) as held:
        one = find_deliveries(held, [delivery])[0]
        standing = held.ledger.find(one.subject or "")
        raw = held.deliveries.body(one.id)
    if json:
        answer: ShownJson = {
            **delivery_json(one),
            "leases": [{"attempt": each.number, "at": iso(each.at)} for each in one.leases],
            "replays": [{"at": iso(each.at), "by": each.by} for each in one.replays],
            "grants": [grant for claim in standing.claims for grant in grants_json(claim)],
            "upcoming": [upcoming_json(each) for each in upcoming(standing)],
            "body": None if one.erased_at else _decode(raw),
            "body_erased_at": iso_or_none(one.erased_at),
        }
        print_json(answer)
        return
    _print_delivery(one, standing, raw)
    if body and not one.erased_at:
        for line in _indent(raw).splitlines():
            console().print(literal(line))


def _print_delivery(one: Delivery, standing: Standing, body: bytes) -> None:
    rows: list[list[Cell]] = [
        ["delivery", one.id],
        ["type", one.type or "not a readable webhook"],
        ["status", status_text(one.status)],
        ["reason", one.reason or "-"],
        ["received", f"{utc(one.received_at)} ({format_age(one.received_at)})"],
        ["settled", utc(one.settled_at) if one.settled_at else "not yet"],
        ["attempts", str(one.attempts)],
        *_attempt_rows(one),
        ["order", with_product(one.order_id or "-", product_name(body))],
        ["customer", one.customer_id or "-"],
    ]
    if reason := _operator_reason(one, body):
        rows.append(["granted for", reason])
    if one.erased_at:
        rows.append(["erased", f"{describe_erasure(one)} (credits forget): it can no longer be replayed"])
    rows += [*claim_rows(standing.claims), *upcoming_rows(standing)]
    if one.status is Status.FAILED:
        advice = f"fix the cause, then `credits replay {one.id}`; or `credits dismiss {one.id}`"
        rows.append(["next step", advice])
    print_table(["", ""], rows)


def _attempt_rows(one: Delivery) -> list[list[Cell]]:
    """Return a row for each replay and each lease, the earliest first."""
    replays = [(each.at, "replayed", f"by {each.by}") for each in one.replays]
    leases = [(each.at, "leased", f"attempt {each.number}") for each in one.leases]
    found = sorted([*replays, *leases], key=lambda row: row[0])  # a replay comes before its own lease
    return [[what, f"{utc(at)}, {text}"] for at, what, text in found]


def _operator_reason(one: Delivery, body: bytes) -> str:
    """Return the reason that an operator gave for a manual grant; "" for any other delivery."""
    return read_request(body, ManualGrant).reason if one.type == MANUAL_GRANT and not one.erased_at else ""


def _decode(body: bytes) -> str:
    return body.decode(errors="replace")


def _indent(body: bytes) -> str:
    try:
        return json_module.dumps(json_module.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return _decode(body)
