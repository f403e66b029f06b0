"""``credits deliveries`` and ``credits show``: what arrived, and what became of it."""

import json as json_module
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from app.cli.context import open_stores_to_read, read_settings
from app.cli.customer_options import Customer, Email, ExternalCustomer, find_customer_id, named_customer
from app.cli.options import DeliveryType, Json, ReceivedSince, parse_order_id
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
    terminal_width,
    with_product,
)
from app.cli.shapes import ShownJson
from app.cli.to_json import delivery_json, grants_json, iso_or_none
from app.errors import CommandError
from config.wording import quoted
from workers.core.claims import Claim
from workers.core.delivery import Delivery, Status
from workers.core.manual import MANUAL_GRANT, ManualGrant, read_request
from workers.core.products import product_name
from workers.core.wording import utc
from workers.operations.history import History
from workers.store.audit import Audit
from workers.store.stores import Stores

_WIDE = 170  # characters for three ids, a time, a type, a status, and a short reason

_LEAST_START = 4  # characters of an id; fewer are a slip of the keyboard
_MOST_SEARCHED = 10_000  # the newest deliveries, so that no search takes long
_MOST_CANDIDATES = 5


def _parse_status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise typer.BadParameter(f"{quoted(text)} is not one of {', '.join(Status)}") from None


def deliveries(
    *,
    status: Annotated[
        list[Status] | None,
        typer.Option(
            "--status",
            metavar=f"<{'|'.join(Status)}>",
            help="Only this status; may be repeated.",
            parser=_parse_status,
        ),
    ] = None,
    type_: DeliveryType = None,
    since: ReceivedSince = None,
    order: Annotated[
        str | None,
        typer.Option("--order", metavar="ID", help="Only those about this order.", parser=parse_order_id),
    ] = None,
    customer: Customer = None,
    external_customer: ExternalCustomer = "",
    email: Email = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="The most to list.")] = 50,
    json: Json = False,
) -> None:
    """List the deliveries that arrived and what became of each, newest first.

    Example: credits deliveries --status failed --since 24h

    Example: credits deliveries --email ada@example.com
    """
    name = named_customer(customer, external_customer, email)
    if name and order:
        raise typer.BadParameter("give either an order or a customer, not both")
    settings = read_settings("deliveries", quiet=True)
    with open_stores_to_read(settings) as held:
        customer_id = find_customer_id(name, settings, held) if name else None
        newest = _newest(held, order, customer_id, status or list(Status), since)
        found = list(islice((one for one in newest if type_ in {None, one.type}), limit))
        products = {} if json else held.deliveries.product_names(one.id for one in found)
    if json:
        print_json([delivery_json(one) for one in found])
    elif found:
        _print_deliveries(found, products)
    else:
        console().print("no deliveries")


def _print_deliveries(found: Sequence[Delivery], products: Mapping[str, str]) -> None:
    rows = [_row(one, products.get(one.id, "")) for one in found]
    if (width := terminal_width()) is None or width >= _WIDE:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
        return
    # What does not fit goes below, where no header names it.
    for row, one in zip(rows, found, strict=True):
        row["order"] = with_product(f"order {one.order_id}" if one.order_id else "", products.get(one.id, ""))
        row["product"] = ""
        row["customer"] = f"customer {one.customer_id}" if one.customer_id else ""
    columns = ["" if name in {"order", "customer", "product", "reason"} else name for name in rows[0]]
    print_table(columns, [list(row.values()) for row in rows])


def _newest(
    held: Stores,
    order_id: str | None,
    customer_id: str | None,
    statuses: Sequence[Status],
    since: datetime | None,
) -> Iterable[Delivery]:
    """Return the deliveries with these statuses, all or those about an order or a customer, newest first."""
    history = History(deliveries=held.deliveries, audit=Audit(held.redis, held.ledger))
    if order_id:
        found: Sequence[Delivery] = history.of_order(order_id)
    elif customer_id:
        found = history.of_customer(customer_id).deliveries
    else:
        return held.deliveries.newest(statuses, since=since)
    wanted = [one for one in found if one.status in statuses and (since is None or one.received_at >= since)]
    return reversed(wanted)


def show(
    delivery: Annotated[str, typer.Argument(help="A delivery's id (Polar's webhook-id), or its start.")],
    body: Annotated[bool, typer.Option("--body", help="Also print the body (--json always has it).")] = False,
    json: Json = False,
) -> None:
    """Show one delivery and the grants that it led to.

    Example: credits show 2d568d44-4cac-4ddb-ba1c-e3a1e54e1735
    """
    with open_stores_to_read(read_settings("show", quiet=True)) as held:
        one = find_deliveries(held, [delivery])[0]
        claims = held.ledger.find(one.subject).claims if one.subject else ()
        raw = held.deliveries.body(one.id)
    if json:
        answer: ShownJson = {
            **delivery_json(one),
            "grants": [grant for claim in claims for grant in grants_json(claim)],
            "body": None if one.erased_at else _decode(raw),
            "body_erased_at": iso_or_none(one.erased_at),
        }
        print_json(answer)
        return
    _print_delivery(one, claims, raw)
    if body and not one.erased_at:
        for line in _indent(raw).splitlines():
            console().print(literal(line))


def find_deliveries(held: Stores, ids: list[str]) -> list[Delivery]:
    """Return these deliveries, each once; CommandError names those that are unknown.

    An id may be shortened to what is unique among the newest deliveries.
    """
    found = {one.id: one for one in held.deliveries.get(ids)}
    starts = [id_ for id_ in dict.fromkeys(ids) if id_ not in found]
    by_start = deliveries_starting_with(held, starts)
    missing = [start for start, matching in by_start.items() if not matching]
    if missing:
        raise CommandError(
            f"no delivery {', '.join(sorted(missing))}: `credits deliveries` lists those that are kept"
        )
    found |= {one.id: one for start, matching in by_start.items() for one in [_only(start, matching)]}
    return list(found.values())


def deliveries_starting_with(held: Stores, starts: Sequence[str]) -> dict[str, list[Delivery]]:
    """Return for each start of an id the deliveries that it may mean, among the newest."""
    found: dict[str, list[Delivery]] = {start: [] for start in starts}
    if any(len(start) >= _LEAST_START for start in starts):
        for one in islice(held.deliveries.newest(), _MOST_SEARCHED):
            for start in starts:
                if len(start) >= _LEAST_START and one.id.startswith(start):
                    found[start].append(one)
    return found


def _only(start: str, matching: Sequence[Delivery]) -> Delivery:
    if len(matching) > 1:
        listed = [f"{one.id} ({one.type or '?'}, {format_age(one.received_at)})" for one in matching]
        more = [f"{len(listed) - _MOST_CANDIDATES} more"] if len(listed) > _MOST_CANDIDATES else []
        candidates = ", ".join(listed[:_MOST_CANDIDATES] + more)
        raise CommandError(f"{start} is the start of {len(matching)} deliveries: {candidates}")
    return matching[0]


def _row(one: Delivery, product: str) -> dict[str, Cell]:
    return {
        "received": format_age(one.received_at),
        "delivery": one.id,
        "type": one.type or "?",
        "status": status_text(one.status),
        "order": one.order_id or "-",
        "customer": one.customer_id or "-",
        "product": product or "-",
        "reason": one.reason,
    }


def _print_delivery(one: Delivery, claims: Sequence[Claim], body: bytes) -> None:
    rows: list[list[Cell]] = [
        ["delivery", one.id],
        ["type", one.type or "not a readable webhook"],
        ["status", status_text(one.status)],
        ["reason", one.reason or "-"],
        ["received", f"{utc(one.received_at)} ({format_age(one.received_at)})"],
        ["settled", utc(one.settled_at) if one.settled_at else "not yet"],
        ["attempts", str(one.attempts)],
        ["order", with_product(one.order_id or "-", product_name(body))],
        ["customer", one.customer_id or "-"],
    ]
    if reason := _operator_reason(one, body):
        rows.append(["granted for", reason])
    if one.erased_at:
        rows.append(["erased", f"{describe_erasure(one)} (credits forget): it can no longer be replayed"])
    rows += claim_rows(claims)
    if one.status is Status.FAILED:
        advice = f"fix the cause, then `credits replay {one.id}`; or `credits dismiss {one.id}`"
        rows.append(["next step", advice])
    print_table(["", ""], rows)


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
