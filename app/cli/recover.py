"""``credits recover``: fetch the webhooks that Polar could not deliver, or that Redis has lost."""

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta

import click

from app.cli.batches import (
    Outcomes,
    has_unfinished,
    outcome_json,
    print_not_listed,
    print_outcomes,
    run_with_progress,
)
from app.cli.options import dry_run_option, json_option, parse_time, yes_option
from app.cli.output import Cell, console, format_age, literal, print_first, print_json, streamed
from app.cli.progress import show_progress, show_wait
from app.cli.prompts import confirm
from app.cli.repair_shapes import LostJson, RecoverJson
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.cli.to_json import iso
from app.errors import CommandError
from config.durations import format_duration
from config.rules import load_rules
from config.wording import format_count
from workers.operations.recover import Preview, WebhookScan
from workers.operations.spool import Spool, SpooledList
from workers.operations.totals import add_up_on_disk
from workers.runtime.granting import granter_for
from workers.runtime.polar import polar_for
from workers.runtime.repairs import recoverer_for
from workers.store.losses import LOST, lost_at
from workers.store.stores import Stores


@click.command("recover")
@click.option(
    "--since",
    type=parse_time,
    required=True,
    metavar="WHEN",
    help="Delivery attempts since WHEN: 24h, or a time.",
)
@click.option(
    "--delivered", is_flag=True, help="Also fetch webhooks that Polar delivered, but Redis has lost."
)
@dry_run_option
@yes_option
@json_option
def recover(*, since: datetime, delivered: bool, dry_run: bool, yes: bool, json: bool) -> None:
    """Fetch the webhooks that Polar could not deliver, and run them.

    Polar keeps the webhooks that it failed to deliver, with their bodies. Those that never arrived are
    stored under their own ids and run as if they had arrived. That includes webhooks which backfill cannot
    replace: new customers, periods and refunds. Nothing is credited twice. In a script with --yes it prints
    nothing if nothing was lost.

    With --delivered it also fetches webhooks that Polar delivered, but Redis no longer has, as after a
    fail-over or with an old backup. Run credits rebuild first. The webhooks run by today's rules.

    Example: credits recover --since 24h --dry-run
    """
    settings = read_settings("recover")
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
        previews = _on_disk(recoverer.preview(lost, rules))
        totals = str(add_up_on_disk(one.prospect.grants for one in previews))
        if not json:
            _print_lost(previews, totals, found.unusable, quiet=yes and not sys.stdout.isatty())
        count = len(lost)
        action = f"store and run {format_count(count, 'webhook')}: {totals}"
        if dry_run or not (count and confirm(action, yes=yes)):
            count = 0
        batches = recoverer.recover(lost, granter_for(settings, held, lambda: rules)) if count else iter(())
        outcomes, trouble = run_with_progress(batches, count, json=json)
    if found.not_listed:
        print_not_listed(format_count(found.not_listed, "attempt"), found.not_listed_around)
    if json:
        print_json(_json(previews, found, outcomes, trouble))
    else:
        print_outcomes(outcomes, trouble)
    if trouble or found.not_listed or has_unfinished(outcomes):
        raise click.exceptions.Exit(1)


def _check_ready(held: Stores, since: datetime, retain: timedelta) -> None:
    """Refuse if a loss was noticed and not rebuilt, or if Redis no longer keeps what came since then."""
    if lost_at(held.redis):
        raise CommandError(f"{LOST}: run credits rebuild first, so that nothing is claimed again")
    if since < datetime.now(UTC) - retain:
        raise CommandError(
            f"--delivered looks back {format_duration(retain)} at most (CREDITS_RETAIN): "
            "what was settled before that has expired here, and would look lost"
        )


def _on_disk(previews: Iterable[Preview]) -> Collection[Preview]:
    found: SpooledList[Preview] = Spool().list(Preview)
    for one in previews:
        found.append(one)
    return found


def _print_lost(
    previews: Collection[Preview], totals: str, unusable: Mapping[str, str], *, quiet: bool
) -> None:
    if previews:
        rows: Iterator[list[Cell]] = (
            [format_age(one.created_at), one.id, one.type, one.prospect.text]
            for one in previews
            if one.prospect.grants or one.prospect.fails
        )
        listed = print_first(["created", "delivery", "type", "recover would"], rows)
        _print_totals(totals, len(previews) - listed)
    elif not quiet:
        console().print("no webhook was lost")
    print_first(["delivery", "cannot be recovered because"], ([id_, why] for id_, why in unusable.items()))


def _print_totals(totals: str, folded: int) -> None:
    note = f"; {format_count(folded, 'webhook')} without credits (--json lists all)" if folded else ""
    console().print(literal(f"in all: {totals}{note}"))


def _json(previews: Iterable[Preview], found: WebhookScan, outcomes: Outcomes, trouble: str) -> RecoverJson:
    return {
        "lost": streamed(map(_lost_json, previews)),
        "unusable": streamed({"id": id_, "reason": why} for id_, why in found.unusable.items()),
        "not_listed": found.not_listed,
        "not_listed_around": [iso(one) for one in found.not_listed_around],
        "outcomes": streamed(map(outcome_json, outcomes)),
        "trouble": trouble or None,
    }


def _lost_json(one: Preview) -> LostJson:
    made_at, would = iso(one.created_at), one.prospect.text
    return {"id": one.id, "type": one.type, "made_at": made_at, "would": would}
