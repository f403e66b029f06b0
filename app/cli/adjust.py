"""``credits adjust``: bring what a rule gave earlier orders to what it says today."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from app.cli.adjust_output import adjust_json, describe_action, print_scan, print_skipped
from app.cli.batches import Outcomes, has_unfinished, print_outcomes, run_with_progress
from app.cli.options import dry_run_option, json_option, parse_time, yes_option
from app.cli.output import print_json
from app.cli.progress import show_progress, show_wait
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.errors import CommandError
from config.rules import Rule, Rules, load_rules
from config.settings import Settings
from workers.operations.adjust.run import Adjuster, RuleNotAdjustableError, adjustable_rule
from workers.operations.adjust.scan import AdjustScan, SkippedOrder
from workers.operations.confirm import Confirmer
from workers.operations.rebuild.lost_ledger import LEDGER_LOST, is_ledger_lost
from workers.polar.client import Polar
from workers.runtime.granting import granter_for
from workers.runtime.polar import polar_for
from workers.runtime.repairs import pacer_for
from workers.store.audit import Audit
from workers.store.stores import Stores
from workers.store.unconfirmed import UnconfirmedStore

_Done = tuple[Outcomes, str, Collection[SkippedOrder]]
"""What was adjusted, why no more, and which orders need a review."""

_NOTHING: _Done = ((), "", ())


@click.command("adjust")
@click.option("--rule", required=True, metavar="NAME", help="The rule, by its name.")
@click.option(
    "--since",
    type=parse_time,
    required=True,
    metavar="WHEN",
    help="Orders credited since WHEN: 7d, or a time.",
)
@click.option("--until", type=parse_time, metavar="WHEN", help="Orders credited before WHEN: 1d, or a time.")
@click.option(
    "--assume-current",
    is_flag=True,
    help="Use the order as it is today where its webhook is no longer stored.",
)
@dry_run_option
@yes_option
@json_option
def adjust(
    *,
    rule: str,
    since: datetime,
    until: datetime | None,
    assume_current: bool,
    dry_run: bool,
    yes: bool,
    json: bool,
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
    settings = read_settings("adjust")
    rules = load_rules(settings.rules_path)
    wanted = _find_rule(rule, rules)
    now = datetime.now(UTC)
    if since >= (end := until or now):
        raise click.UsageError("--until must be later than --since")
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
        has_work = bool(scan.adjusting or scan.interrupted)
        done = _NOTHING
        if polar and not dry_run and has_work and confirm(describe_action(scan), yes=yes):
            done = _run(adjuster, scan, settings=settings, held=held, polar=polar, json=json)
    outcomes, trouble, review = done
    if json:
        print_json(adjust_json(scan, outcomes, review, trouble))
    else:
        print_outcomes(outcomes, trouble)
        print_skipped("needs review", review)
    if trouble or has_unfinished(outcomes) or review or (scan.failing and not dry_run):
        raise click.exceptions.Exit(1)


def _find_rule(name: str, rules: Rules) -> Rule:
    try:
        return adjustable_rule(name, rules)
    except RuleNotAdjustableError as error:
        raise click.UsageError(str(error)) from None


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
) -> _Done:
    count = len(scan.adjusting) + len(scan.interrupted)
    batches = adjuster.run(scan, granter_for(settings, held, lambda: scan.rules))
    outcomes, trouble = run_with_progress(batches, count, json=json)
    store = UnconfirmedStore(held.redis, held.ledger)
    confirmer = Confirmer(store=store, polar=polar, pacer=adjuster.pacer)
    return outcomes, trouble, adjuster.needs_review(outcomes, confirmer)
