"""``credits outbox``: the credit events for the storefront, and sending them again."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice

import click
from rich.text import Text

from app.cli.options import json_option, limit_option
from app.cli.output import Cell, console, format_age, literal, print_first, print_json, print_table
from app.cli.progress import show_progress
from app.cli.settings import read_settings
from app.cli.shapes import CreditEventJson, ResentJson
from app.cli.stores import open_stores, open_stores_to_read
from app.cli.to_json import iso, iso_or_none
from app.errors import CommandError
from config.durations import format_duration
from config.wording import format_count, joined
from workers.core.event_names import EventName
from workers.core.outbox_state import EventStatus, OutboxState
from workers.store.outbox import Sending
from workers.store.outbox_view import EventRow, OutboxView
from workers.store.stores import Stores

_WORDS = {
    EventStatus.WAITING: Text("waiting", style="yellow"),
    EventStatus.REFUSED: Text("refused", style="red"),
    EventStatus.GIVEN_UP: Text("given up", style="red"),
    EventStatus.SENT: Text("sent", style="green"),
}


@click.group("outbox", invoke_without_command=True)
@click.option("--failed", is_flag=True, help="Only those that the storefront refused, or that were given up.")
@limit_option()
@json_option
@click.pass_context
def outbox(context: click.Context, failed: bool, limit: int, json: bool) -> None:
    """List the credit events for the storefront.

    First those that were given up or are refused, then the others that wait, then those that were sent last.

    Example: credits outbox --failed
    """
    if context.invoked_subcommand:
        return
    settings = read_settings("outbox")
    with open_stores_to_read(settings) as held:
        view = OutboxView(held.redis)
        found = list(islice(view.failed() if failed else view.all(), limit))
        state = view.state()
    if json:
        print_json([_json(one) for one in found])
        return
    if found:
        print_table(["status", "when", "attempts", "event", "reason"], [_row(one) for one in found])
    console().print(literal(_totals(state, are_sent=settings.events_url is not None)))


@outbox.command("resend")
@click.argument("events", nargs=-1, help="Events, by their ids: a grant's key, or <delivery>:<attempt>.")
@click.option("--failed", is_flag=True, help="All that the storefront refused, or that were given up.")
@json_option
def resend(events: tuple[str, ...], failed: bool, json: bool) -> None:
    """Send credit events again, at once, and say what came of each.

    Any grant can be told again, however long ago it was settled. An event that is refused now is sent again
    by the running service, for three more days.

    Example: credits outbox resend --failed
    """
    from workers.runtime.events import sender_for  # noqa: PLC0415 - the list need not wait for what sends

    if bool(events) == failed:
        raise click.UsageError("give either the ids of events, or --failed")
    settings = read_settings("outbox")
    settings.require_events()
    with open_stores(settings) as held, closing(sender_for(settings, held)) as sender:
        names = _find(held, events) if events else [one.name for one in OutboxView(held.redis).failed()]
        results = []
        with show_progress("sending", json=json or not names) as update:
            for one in sender.resend(names):
                results.append(one)
                update(len(results), len(names))
    _print_resent(results, json=json)
    if len(results) < len(names) or any(one.error for one in results):
        raise click.exceptions.Exit(1)


def _find(held: Stores, ids: Sequence[str]) -> list[EventName]:
    view = OutboxView(held.redis)
    found = {id_: view.find(id_) for id_ in dict.fromkeys(ids)}
    if unknown := [id_ for id_, name in found.items() if name is None]:
        raise CommandError(
            f"no credit event with the id {joined(unknown)}: give a grant's key, as `credits grants` shows "
            "it, or an id that `credits outbox` lists; nothing was sent"
        )
    return [name for name in found.values() if name is not None]


def _totals(state: OutboxState, *, are_sent: bool) -> str:
    counts = f"in all: {state.waiting} waiting, {state.given_up} given up"
    last = f", the last one sent {format_age(state.last_sent)}" if state.last_sent else ""
    return counts + last + ("" if are_sent else "; CREDITS_EVENTS_URL is not set, so none is sent")


def _row(one: EventRow) -> list[Cell]:
    return [_WORDS[one.status], _when(one), str(one.attempts or ""), one.name.id, one.error]


def _when(one: EventRow) -> str:
    ahead = one.at - datetime.now(UTC)
    return f"next in {format_duration(ahead)}" if ahead.total_seconds() > 0 else format_age(one.at)


def _json(one: EventRow) -> CreditEventJson:
    is_over = one.status in {EventStatus.SENT, EventStatus.GIVEN_UP}
    return {
        "id": one.name.id,
        "status": one.status,
        "attempts": one.attempts,
        "reason": one.error or None,
        "refused_since": iso_or_none(one.refused_since),
        "due_at": None if is_over else iso(one.at),
        "ended_at": iso(one.at) if is_over else None,
    }


def _print_resent(results: list[Sending], *, json: bool) -> None:
    if json:
        found: list[ResentJson] = [
            {"id": one.name.id, "sent": not one.error, "reason": one.error or None} for one in results
        ]
        print_json(found)
        return
    rows: list[list[Cell]] = [
        [_WORDS[EventStatus.REFUSED if one.error else EventStatus.SENT], one.name.id, one.error]
        for one in results
    ]
    if rows:
        print_first(["status", "event", "reason"], rows)
    console().print(f"sent: {format_count(sum(not one.error for one in results), 'event')} of {len(results)}")
