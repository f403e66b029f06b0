"""``credits recover``: take from Polar the webhooks that it could not deliver."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from app.cli.batches import (
    agreed,
    counted,
    is_unfinished,
    moment,
    notify,
    outcome_json,
    print_outcomes,
    print_some,
    progress,
    run_all,
)
from app.cli.output import Cell, ago, console, iso, print_json
from app.cli.repair_shapes import RecoverJson
from app.cli.root import Json, opened, root, settings_for
from config.rules import load_rules
from workers.core.delivery import Outcome
from workers.operations.recover import LostWebhook
from workers.runtime import granter_for, polar_for, recoverer_for


@root.command()
def recover(
    *,
    since: Annotated[
        datetime, typer.Option("--since", metavar="WHEN", help="Tried since: 24h, or a time.", parser=moment)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take from Polar what it failed to deliver, and run it.

    Polar keeps each webhook that it could not deliver, with its body. Those that never reached us become
    deliveries as if they had, under their own ids: also what no order tells of, new customers, periods and
    refunds. Nothing is credited twice. With --yes and no terminal it says nothing where nothing was lost.

    Example: credits recover --since 24h --dry-run
    """
    settings = settings_for("recover", quiet=True)
    rules = load_rules(settings.rules_path)
    with closing(polar_for(settings)) as polar, opened(settings) as held:
        recoverer = recoverer_for(held, polar, notify)
        with progress("reading failed attempts", json=json) as tell:
            found = recoverer.find_lost(since=since, until=datetime.now(UTC), on_progress=tell)
        lost = found.oldest_first
        would = recoverer.dry_run_texts(lost, rules)
        if not json:
            _print(lost, would, found.unusable, quiet=yes and not sys.stdout.isatty())
        count = len(lost)
        if dry_run or not (count and agreed(f"store and run {counted(count, 'webhook')}", yes=yes)):
            count = 0
        batches = recoverer.recover(lost, granter_for(settings, held, lambda: rules)) if count else iter(())
        outcomes, trouble = run_all(batches, count, json=json)
    if json:
        print_json(_json(lost, would, found.unusable, outcomes, trouble))
    else:
        print_outcomes(outcomes, trouble)
    if trouble or is_unfinished(outcomes):
        raise typer.Exit(1)


def _print(
    lost: Sequence[LostWebhook], would: Mapping[str, str], unusable: Mapping[str, str], *, quiet: bool
) -> None:
    if lost:
        rows: list[list[Cell]] = [[ago(one.created_at), one.id, one.type, would[one.id]] for one in lost]
        print_some(["made", "delivery", "type", "would"], rows)
    elif not quiet:
        console().print("nothing was lost")
    if unusable:
        print_some(["delivery", "cannot be recovered"], list(unusable.items()))


def _json(
    lost: Sequence[LostWebhook],
    would: Mapping[str, str],
    unusable: Mapping[str, str],
    outcomes: Sequence[Outcome],
    trouble: str,
) -> RecoverJson:
    return {
        "lost": [
            {"id": one.id, "type": one.type, "made_at": iso(one.created_at), "would": would[one.id]}
            for one in lost
        ],
        "unusable": [{"id": id_, "reason": why} for id_, why in unusable.items()],
        "outcomes": [outcome_json(one) for one in outcomes],
        "trouble": trouble or None,
    }
