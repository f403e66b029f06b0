"""``credits recover``: fetch the webhooks that Polar could not deliver, or that Redis has lost."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from app.cli.batches import (
    has_unfinished,
    outcome_json,
    print_not_listed,
    print_outcomes,
    run_with_progress,
)
from app.cli.options import DryRun, Json, Yes, parse_time
from app.cli.output import Cell, console, format_age, literal, print_first, print_json
from app.cli.progress import show_progress, show_wait
from app.cli.prompts import confirm
from app.cli.repair_shapes import RecoverJson
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.cli.to_json import iso
from app.errors import CommandError
from config.durations import format_duration
from config.rules import load_rules
from config.wording import format_count
from workers.core.delivery import Outcome
from workers.core.dry_run import Prospect
from workers.core.totals import add_up
from workers.operations.recover import LostWebhook, WebhookScan
from workers.runtime import granter_for, polar_for, recoverer_for
from workers.store.losses import LOST, lost_at
from workers.store.stores import Stores


def recover(
    *,
    since: Annotated[
        datetime,
        typer.Option(
            "--since", metavar="WHEN", help="Delivery attempts since WHEN: 24h, or a time.", parser=parse_time
        ),
    ],
    delivered: Annotated[
        bool,
        typer.Option("--delivered", help="Also fetch webhooks that Polar delivered, but Redis has lost."),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Fetch the webhooks that Polar could not deliver, and run them.

    Polar keeps the webhooks that it failed to deliver, with their bodies. Those that never arrived are
    stored under their own ids and run as if they had arrived. That includes webhooks which backfill cannot
    replace: new customers, periods and refunds. Nothing is credited twice. In a script with --yes it prints
    nothing if nothing was lost.

    With --delivered it also fetches webhooks that Polar delivered, but Redis no longer has, as after a
    fail-over or with an old backup. Run credits rebuild first. The webhooks run by today's rules.

    Example: credits recover --since 24h --dry-run
    """
    settings = read_settings("recover", quiet=True)
    rules = load_rules(settings.rules_path)
    with closing(polar_for(settings)) as polar, open_stores(settings) as held:
        if delivered:
            _check_ready(held, since, settings.retain)
        recoverer = recoverer_for(settings, held, polar, show_wait)
        with show_progress("reading delivery attempts", json=json) as update:
            found = recoverer.find_lost(
                since=since, until=datetime.now(UTC), delivered=delivered, on_progress=update
            )
        lost = found.oldest_first
        would = recoverer.dry_runs(lost, rules)
        if not json:
            _print_lost(lost, would, found.unusable, quiet=yes and not sys.stdout.isatty())
        count = len(lost)
        if dry_run or not (count and confirm(_action(count, would), yes=yes)):
            count = 0
        batches = recoverer.recover(lost, granter_for(settings, held, lambda: rules)) if count else iter(())
        outcomes, trouble = run_with_progress(batches, count, json=json)
    if found.not_listed:
        print_not_listed(format_count(found.not_listed, "attempt"), found.not_listed_around)
    if json:
        print_json(_json(lost, would, found, outcomes, trouble))
    else:
        print_outcomes(outcomes, trouble)
    if trouble or found.not_listed or has_unfinished(outcomes):
        raise typer.Exit(1)


def _check_ready(held: Stores, since: datetime, retain: timedelta) -> None:
    """Refuse if a loss was noticed and not rebuilt, or if Redis no longer keeps what came since then."""
    if lost_at(held.redis):
        raise CommandError(f"{LOST}: run credits rebuild first, so that nothing is claimed again")
    if since < datetime.now(UTC) - retain:
        raise CommandError(
            f"--delivered looks back {format_duration(retain)} at most (CREDITS_RETAIN): "
            "what was settled before that has expired here, and would look lost"
        )


def _action(count: int, would: Mapping[str, Prospect]) -> str:
    totals = add_up(one.grants for one in would.values())
    return f"store and run {format_count(count, 'webhook')}: {totals}"


def _print_lost(
    lost: Sequence[LostWebhook], would: Mapping[str, Prospect], unusable: Mapping[str, str], *, quiet: bool
) -> None:
    if lost:
        rows: list[list[Cell]] = [
            [format_age(one.created_at), one.id, one.type, would[one.id].text]
            for one in lost
            if would[one.id].grants or would[one.id].fails
        ]
        if rows:
            print_first(["created", "delivery", "type", "recover would"], rows)
        _print_totals(would.values(), len(lost) - len(rows))
    elif not quiet:
        console().print("no webhook was lost")
    if unusable:
        print_first(["delivery", "cannot be recovered because"], list(unusable.items()))


def _print_totals(would: Iterable[Prospect], folded: int) -> None:
    note = f"; {format_count(folded, 'webhook')} without credits (--json lists all)" if folded else ""
    console().print(literal(f"in all: {add_up(one.grants for one in would)}{note}"))


def _json(
    lost: Sequence[LostWebhook],
    would: Mapping[str, Prospect],
    found: WebhookScan,
    outcomes: Sequence[Outcome],
    trouble: str,
) -> RecoverJson:
    return {
        "lost": [
            {"id": one.id, "type": one.type, "made_at": iso(one.created_at), "would": would[one.id].text}
            for one in lost
        ],
        "unusable": [{"id": id_, "reason": reason} for id_, reason in found.unusable.items()],
        "not_listed": found.not_listed,
        "not_listed_around": [iso(one) for one in found.not_listed_around],
        "outcomes": [outcome_json(one) for one in outcomes],
        "trouble": trouble or None,
    }
