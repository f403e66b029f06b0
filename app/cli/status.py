"""``credits status``: whether all is well, and how many deliveries wait or failed."""

from importlib.metadata import version
from typing import Annotated

import typer
from rich.text import Text

from app.cli.context import open_stores, read_settings
from app.cli.options import Json
from app.cli.output import (
    Cell,
    console,
    describe_store,
    format_age,
    literal,
    print_json,
    print_table,
    store_name,
)
from app.cli.shapes import CheckJson, StatusJson
from app.cli.to_json import iso_or_none, json_number
from config.wording import format_count
from workers.core.delivery import Status
from workers.core.wording import plain
from workers.monitoring.health import Check, all_well, examine
from workers.operations.confirm import MISMATCH_ADVICE
from workers.store.arrivals import arrivals
from workers.store.queue import queue_length
from workers.store.unconfirmed import Doubts

_MOST_LISTED = 20


def status(
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 unless all is well.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what is not well, if anything.")] = False,
    json: Json = False,
) -> None:
    """Show whether all is well, and how many deliveries wait or failed.

    Example: credits status --strict --quiet
    """
    settings = read_settings("status", quiet=True)
    with open_stores(settings) as held:
        checks = examine(held.redis)
        counts = held.deliveries.count_by_status()
        newest = next(held.deliveries.newest(), None)
        grants = held.ledger.count_grants()
        came = arrivals(held.redis)
        jobs = queue_length(held.redis)
        doubts = Doubts(held.redis)
        amounts = _amounts_check(doubts)
        mismatches, unconfirmed = doubts.mismatches(_MOST_LISTED), doubts.count_unconfirmed()
    failed = Check(name="failed", ok=not counts[Status.FAILED], detail=f"{counts[Status.FAILED]} failed")
    webhooks = Check(name="webhooks", ok=not came.are_refused, detail=came.describe())
    checks = [*checks, webhooks]
    well = all_well([*checks, failed, amounts])
    last = newest.received_at if newest else None
    if json:
        answer: StatusJson = {
            "version": version("credit-granter"),
            "well": well,
            "checks": {one.name: _check_json(one) for one in (*checks, failed, amounts)},
            "deliveries": {status.value: count for status, count in counts.items()},
            "grants": grants,
            "unconfirmed": unconfirmed,
            "mismatches": [
                {"key": one.key, "ledger": json_number(plain(one.ledger)), "polar": one.polar}
                for one in mismatches
            ],
            "queued_jobs": jobs,
            "last_delivery_at": iso_or_none(last),
            "store": store_name(settings),
        }
        print_json(answer)
    elif quiet:
        print_table(["", "", ""], [_row(one) for one in (*checks, failed, amounts) if not one.ok])
    else:
        rows = [_row(one) for one in checks]
        kept = ", ".join(f"{count} {status.value}" for status, count in counts.items())
        rows.append(["deliveries", _verdict(failed.ok), kept])
        rows.append(_row(amounts))
        rows.append(["queue", "", format_count(jobs, "RQ job")])
        rows.append(["version", "", version("credit-granter")])
        rows.append(["store", "", describe_store(settings)])
        rows.append(["grants", "", f"{grants} confirmed by Polar"])
        rows.append(["newest", "", format_age(last) if last else "no delivery yet"])
        print_table(["", "", ""], rows)
        for one in mismatches:
            console().print(literal(str(one)))
    if strict and not well:
        raise typer.Exit(1)


def _row(one: Check) -> list[Cell]:
    return [one.name, _verdict(one.ok), one.detail]


def _amounts_check(doubts: Doubts) -> Check:
    """Check that Polar has no other amounts than the ledger, as far as that is known."""
    differing, waiting = doubts.count_mismatches(), doubts.count_unconfirmed()
    if differing:
        detail = f"{format_count(differing, 'grant')} not the same at Polar: {MISMATCH_ADVICE}"
    else:
        detail = f"{format_count(waiting, 'grant')} to be read back from Polar" if waiting else "as at Polar"
    return Check(name="amounts", ok=not differing, detail=detail)


def _verdict(ok: bool) -> Text:
    return Text("ok", style="green") if ok else Text("NOT OK", style="red")


def _check_json(one: Check) -> CheckJson:
    return {"ok": one.ok, "detail": one.detail}
