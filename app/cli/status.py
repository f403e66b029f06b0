"""``credits status``: whether all is well, and how many deliveries wait or failed."""

import click
from rich.text import Text

from app.cli.options import json_option
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
from app.cli.settings import read_settings
from app.cli.shapes import CheckJson, StatusJson
from app.cli.stores import open_stores_to_read
from app.cli.to_json import iso_or_none, json_number
from config.settings import Settings
from config.version import VERSION
from config.wording import format_count
from workers.core.wording import plain
from workers.monitoring.health import Check
from workers.operations.status import ServiceState, read_state


@click.command("status")
@click.option("--strict", is_flag=True, help="Exit with 1 unless all is well.")
@click.option("--quiet", is_flag=True, help="Print only what is not well, if anything.")
@json_option
def status(strict: bool, quiet: bool, json: bool) -> None:
    """Show whether all is well, and how many deliveries wait or failed.

    Example: credits status --strict --quiet
    """
    settings = read_settings("status")
    with open_stores_to_read(settings) as held:
        state = read_state(held)
    if json:
        print_json(_json(state, settings))
    elif quiet:
        print_table(["", "", ""], [_row(one) for one in state.all_checks if not one.ok])
    else:
        print_table(["", "", ""], _rows(state, settings))
        for one in state.mismatches:
            console().print(literal(str(one)))
    if strict and not state.is_well:
        raise click.exceptions.Exit(1)


def _json(state: ServiceState, settings: Settings) -> StatusJson:
    return {
        "version": VERSION,
        "well": state.is_well,
        "checks": {one.name: _check_json(one) for one in state.all_checks},
        "deliveries": {status.value: count for status, count in state.counts.items()},
        "grants": state.grants,
        "unconfirmed": state.unconfirmed,
        "mismatches": [
            {"key": one.key, "ledger": json_number(plain(one.ledger)), "polar": one.polar}
            for one in state.mismatches
        ],
        "queued_jobs": state.queued_jobs,
        "last_delivery_at": iso_or_none(state.last_received),
        "store": store_name(settings),
    }


def _rows(state: ServiceState, settings: Settings) -> list[list[Cell]]:
    kept = ", ".join(f"{count} {status.value}" for status, count in state.counts.items())
    return [
        *map(_row, state.checks),
        ["deliveries", _verdict(state.failed.ok), kept],
        _row(state.amounts),
        _row(state.events),
        ["queue", "", format_count(state.queued_jobs, "RQ job")],
        ["version", "", VERSION],
        ["store", "", describe_store(settings)],
        ["grants", "", f"{state.grants} confirmed by Polar"],
        ["newest", "", format_age(state.last_received) if state.last_received else "no delivery yet"],
    ]


def _row(one: Check) -> list[Cell]:
    return [one.name, _verdict(one.ok), one.detail]


def _verdict(ok: bool) -> Text:
    return Text("ok", style="green") if ok else Text("NOT OK", style="red")


def _check_json(one: Check) -> CheckJson:
    return {"ok": one.ok, "detail": one.detail}
