"""``credits adjust``: bring what a rule gave earlier orders to what it says today."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from app.cli.adjust_output import adjust_json, describe_action, print_scan, print_skipped
from app.cli.batches import has_unfinished, print_outcomes, run_with_progress
from app.cli.options import DryRun, Json, Yes, parse_time
from app.cli.output import print_json
from app.cli.progress import show_progress, show_wait
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.errors import CommandError
from config.rules import Rule, Rules, load_rules
from config.settings import Settings
from workers.core.delivery import Outcome
from workers.operations.adjust.run import Adjuster, RuleNotAdjustableError, adjustable_rule
from workers.operations.adjust.scan import AdjustScan, SkippedOrder
from workers.operations.confirm import Confirmer
from workers.operations.rebuild.lost_ledger import LEDGER_LOST, is_ledger_lost
from workers.polar.client import Polar
from workers.runtime import granter_for, pacer_for, polar_for
from workers.store.audit import Audit
from workers.store.stores import Stores
from workers.store.unconfirmed import UnconfirmedStore


def adjust(
    *,
    rule: Annotated[str, typer.Option("--rule", metavar="NAME", help="The rule, by its name.")],
    since: Annotated[
        datetime,
        typer.Option(
            "--since", metavar="WHEN", help="Orders credited since WHEN: 7d, or a time.", parser=parse_time
        ),
    ],
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until", metavar="WHEN", help="Orders credited before WHEN: 1d, or a time.", parser=parse_time
        ),
    ] = None,
    assume_current: Annotated[
        bool,
        typer.Option(
            "--assume-current", help="Use the order as it is today where its webhook is no longer stored."
        ),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Bring what a rule gave earlier orders to what it says today, less what was refunded.

    Use it after a rule gave too little or too much for a while. Correct the rule first. An order that got too
    little gets the rest, one that got too much gives the rest back, and later refunds count from the new
    amount. What other rules gave stays as it is.

    It skips orders that were revoked by hand, that Polar has not confirmed, or that have something under way,
    each with its reason. It shows the totals before it asks. After an interruption, run the command again;
    run twice, it changes nothing more. If the ledger was lost, run credits rebuild first.

    Example: credits adjust --rule starter-pack --since 7d --dry-run
    """
    settings = read_settings("adjust", quiet=True)
    rules = load_rules(settings.rules_path)
    wanted = _find_rule(rule, rules)
    now = datetime.now(UTC)
    if since >= (end := until or now):
        raise typer.BadParameter("--until must be later than --since")
    with (
        _polar_for(settings, is_needed=assume_current or not dry_run) as polar,
        open_stores(settings) as held,
    ):
        if polar and is_ledger_lost(held.ledger, polar, pacer_for(held, show_wait), now=now):
            raise CommandError(LEDGER_LOST)
        adjuster = _adjuster(held)
        with show_progress("reading orders", json=json) as update:
            scan = adjuster.find(
                wanted,
                rules,
                since=since,
                until=end,
                polar=polar if assume_current else None,
                on_progress=update,
            )
        if not json:
            print_scan(scan)
        count = len(scan.adjusting) + len(scan.interrupted)
        if dry_run or not (count and confirm(describe_action(scan), yes=yes)):
            count = 0
        outcomes, trouble, review = list[Outcome](), "", list[SkippedOrder]()
        if count and polar:
            outcomes, trouble, review = _run(
                adjuster, scan, settings=settings, held=held, polar=polar, json=json
            )
    if json:
        print_json(adjust_json(scan, outcomes, review, trouble))
    else:
        print_outcomes(outcomes, trouble)
        print_skipped("needs review", review)
    if trouble or has_unfinished(outcomes) or review or (scan.failing and not dry_run):
        raise typer.Exit(1)


def _find_rule(name: str, rules: Rules) -> Rule:
    try:
        return adjustable_rule(name, rules)
    except RuleNotAdjustableError as error:
        raise typer.BadParameter(str(error)) from None


@contextmanager
def _polar_for(settings: Settings, *, is_needed: bool) -> Iterator[Polar | None]:
    """Yield a client; a preview from stored webhooks needs none, and so no token."""
    if not is_needed:
        yield None
        return
    polar = polar_for(settings)
    try:
        yield polar
    finally:
        polar.close()


def _adjuster(held: Stores) -> Adjuster:
    audit = Audit(held.redis, held.ledger)
    pacer = pacer_for(held, show_wait)
    return Adjuster(store=held.deliveries, ledger=held.ledger, audit=audit, pacer=pacer)


def _run(
    adjuster: Adjuster,
    scan: AdjustScan,
    *,
    settings: Settings,
    held: Stores,
    polar: Polar,
    json: bool,
) -> tuple[list[Outcome], str, list[SkippedOrder]]:
    count = len(scan.adjusting) + len(scan.interrupted)
    batches = adjuster.run(scan, granter_for(settings, held, lambda: scan.rules))
    outcomes, trouble = run_with_progress(batches, count, json=json)
    store = UnconfirmedStore(held.redis, held.ledger)
    confirmer = Confirmer(store=store, polar=polar, pacer=adjuster.pacer)
    return outcomes, trouble, adjuster.needs_review(outcomes, confirmer)
