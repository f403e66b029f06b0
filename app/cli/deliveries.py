"""``credits deliveries``, ``show``, ``status``: what came, what became of it, and how things stand."""

import json as json_module
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

from app.cli.batches import counted, moment
from app.cli.output import (
    Cell,
    ago,
    claims_rows,
    console,
    delivery_json,
    erased_text,
    grants_json,
    iso_or_none,
    literal,
    print_json,
    print_table,
    room,
    status_text,
    store_of,
    where,
)
from app.cli.root import Json, opened, root, settings_for
from app.cli.shapes import CheckJson, ShownJson, StatusJson
from app.errors import CommandError
from config.wording import quoted
from workers.core.claims import Claim
from workers.core.delivery import Delivery, Status
from workers.core.manual import MANUAL_GRANT, ManualGrant, read
from workers.core.wording import utc
from workers.monitoring.health import Check, all_well, examine
from workers.store.queue import queue_length
from workers.store.stores import Stores

Since = Annotated[
    datetime | None,
    typer.Option("--since", metavar="WHEN", help="Only what came since: 24h, or a time.", parser=moment),
]


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise typer.BadParameter(f"{quoted(text)} is none of {', '.join(Status)}") from None


_WIDE = 130  # two ids, a time, a type, a status, and some room for the reason

Type = Annotated[str | None, typer.Option("--type", help="Only this type, e.g. order.paid.")]


@root.command()
def deliveries(
    status: Annotated[
        list[Status] | None,
        typer.Option(
            "--status", metavar=f"<{'|'.join(Status)}>", help="Only these; repeatable.", parser=_status
        ),
    ] = None,
    type_: Type = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 50,
    json: Json = False,
) -> None:
    """List what arrived and what became of it.

    Newest first.

    Example: credits deliveries --status failed --since 24h
    """
    settings = settings_for("deliveries", quiet=True)
    with opened(settings) as held:
        found = list(islice(select(held, status or list(Status), type_=type_, since=since), limit))
    if json:
        print_json([delivery_json(one) for one in found])
    elif found:
        # The order is the first to go where there is no room: `show` has it.
        without = ["order"] if (width := room()) is not None and width < _WIDE else []
        columns = [name for name in _row(found[0]) if name not in without]
        print_table(columns, [[_row(one)[name] for name in columns] for one in found])
    else:
        console().print("no deliveries")


@root.command()
def show(
    delivery: Annotated[str, typer.Argument(help="A delivery's id: Polar's webhook-id.")],
    body: Annotated[bool, typer.Option("--body", help="Also what was sent (as --json does).")] = False,
    json: Json = False,
) -> None:
    """Show one delivery and every grant it led to.

    Example: credits show 2d568d44-4cac-4ddb-ba1c-e3a1e54e1735
    """
    with opened(settings_for("show", quiet=True)) as held:
        one = find(held, [delivery])[0]
        claims = held.ledger.find(one.subject).claims if one.subject else ()
        raw = held.deliveries.body(delivery)
    if json:
        grants = [grant for claim in claims for grant in grants_json(claim)]
        told: ShownJson = {
            **delivery_json(one),
            "grants": grants,
            "body": None if one.erased_at else _text(raw),
            "body_erased_at": iso_or_none(one.erased_at),
        }
        print_json(told)
        return
    _print_delivery(one, claims, raw)
    if body and not one.erased_at:
        for line in _pretty(raw).splitlines():
            console().print(literal(line))


@root.command()
def status(
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 unless all is well.")] = False,
    json: Json = False,
) -> None:
    """Show how things stand: what runs, waits, failed.

    Example: credits status --strict
    """
    settings = settings_for("status", quiet=True)
    with opened(settings) as held:
        checks = examine(held.redis)
        counts = held.deliveries.count_by_status()
        newest = next(held.deliveries.newest(), None)
        granted = held.ledger.count_grants()
        jobs = queue_length(held.redis)
    well = all_well(checks) and not counts[Status.FAILED]
    last = newest.received_at if newest else None
    if json:
        told: StatusJson = {
            "well": well,
            "checks": {
                **{one.name: _check_json(one) for one in checks},
                "failed": {"ok": not counts[Status.FAILED], "detail": f"{counts[Status.FAILED]} failed"},
            },
            "deliveries": {status.value: count for status, count in counts.items()},
            "grants": granted,
            "queued_jobs": jobs,
            "last_delivery_at": iso_or_none(last),
            "store": store_of(settings),
        }
        print_json(told)
    else:
        rows: list[list[Cell]] = [[one.name, _verdict(one.ok), one.detail] for one in checks]
        kept = ", ".join(f"{count} {status.value}" for status, count in counts.items())
        rows.append(["deliveries", _verdict(not counts[Status.FAILED]), kept])
        rows.append(["queue", "", counted(jobs, "RQ job")])
        rows.append(["store", "", where(settings)])
        rows.append(["grants", "", f"{granted} confirmed by Polar"])
        rows.append(["last", "", ago(last) if last else "nothing has come yet"])
        print_table(["", "", ""], rows)
    if strict and not well:
        raise typer.Exit(1)


def _verdict(ok: bool) -> Text:
    return Text("ok", style="green") if ok else Text("NOT OK", style="red")


def select(
    held: Stores, statuses: Sequence[Status], *, type_: str | None, since: datetime | None
) -> Iterator[Delivery]:
    """Yield the deliveries of these statuses, newest first, of one type if given."""
    found = held.deliveries.newest(statuses, since=since)
    return (one for one in found if type_ is None or one.type == type_)


def find(held: Stores, ids: list[str]) -> list[Delivery]:
    """Return these deliveries; CommandError names those that are unknown."""
    found = held.deliveries.get(ids)
    missing = set(ids) - {one.id for one in found}
    if missing:
        raise CommandError(
            f"no delivery {', '.join(sorted(missing))}: `credits deliveries` lists those that are kept"
        )
    return found


def _row(one: Delivery) -> dict[str, Cell]:
    return {
        "received": ago(one.received_at),
        "delivery": one.id,
        "type": one.type or "?",
        "status": status_text(one.status),
        "order": one.order_id or "-",
        "reason": one.reason,
    }


def _print_delivery(one: Delivery, claims: Sequence[Claim], body: bytes) -> None:
    rows: list[list[Cell]] = [
        ["delivery", one.id],
        ["type", one.type or "no webhook that can be read"],
        ["status", status_text(one.status)],
        ["reason", one.reason or "-"],
        ["received", f"{utc(one.received_at)} ({ago(one.received_at)})"],
        ["settled", utc(one.settled_at) if one.settled_at else "not yet"],
        ["attempts", str(one.attempts)],
        ["order", one.order_id or "-"],
        ["customer", one.customer_id or "-"],
    ]
    if why := _asked_for(one, body):
        rows.append(["given for", why])
    if one.erased_at:
        rows.append(["erased", f"{erased_text(one)} (credits forget): it can no more be replayed"])
    rows += claims_rows(claims)
    if one.status is Status.FAILED:
        rows.append(["to do", f"mend that, then `credits replay {one.id}`; or `credits dismiss {one.id}`"])
    print_table(["", ""], rows)


def _asked_for(one: Delivery, body: bytes) -> str:
    """Return the reason that somebody gave for a grant by hand, which is not that of its outcome."""
    return read(body, ManualGrant).reason if one.type == MANUAL_GRANT and not one.erased_at else ""


def _check_json(one: Check) -> CheckJson:
    return {"ok": one.ok, "detail": one.detail}


def _text(body: bytes) -> str:
    return body.decode(errors="replace")


def _pretty(body: bytes) -> str:
    try:
        return json_module.dumps(json_module.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return _text(body)
