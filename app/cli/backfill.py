"""``credits backfill``: grant paid orders whose webhooks never arrived."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain

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
from app.cli.output import (
    Cell,
    console,
    format_age,
    literal,
    print_first,
    print_json,
    print_table,
    streamed,
)
from app.cli.progress import show_progress, show_wait
from app.cli.prompts import confirm
from app.cli.repair_shapes import BackfillJson, FailingJson, MissingJson, NeedsReviewJson
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.cli.to_json import iso, planned_json
from app.errors import CommandError
from config.rules import Rules, load_rules
from config.wording import format_count
from workers.core.totals import add_up_distinct
from workers.operations.backfill.run import Backlog
from workers.operations.backfill.scanned_orders import MissingOrder, OrderProblem
from workers.operations.rebuild.lost_ledger import LEDGER_LOST, is_ledger_lost
from workers.runtime.granting import granter_for
from workers.runtime.polar import polar_for
from workers.runtime.repairs import backfiller_for, pacer_for

_NO_CREDIT_FROM = (
    "the rules have no credit_from: orders that another system credited before you went live would be "
    "credited again"
)

_REBUILT = (
    "the ledger was lost and rebuilt: it does not know any more which orders were skipped or dismissed "
    "before that"
)
_SKIPPED_BEFORE = "of these, skipped by earlier rules when their webhooks came"


@click.command("backfill")
@click.option(
    "--since", type=parse_time, required=True, metavar="WHEN", help="Orders paid since WHEN: 7d, or a time."
)
@click.option("--until", type=parse_time, metavar="WHEN", help="Orders created before WHEN: 1d, or a time.")
@click.option(
    "--assume-current",
    is_flag=True,
    help="Use today's values (such as seats) where the past ones are unknown.",
)
@dry_run_option
@yes_option
@json_option
def backfill(
    *, since: datetime, until: datetime | None, assume_current: bool, dry_run: bool, yes: bool, json: bool
) -> None:
    """Read paid orders from Polar and grant what is missing.

    For webhooks that never arrived. Each order is planned by today's rules, as its webhook would have been;
    nothing is credited twice. An order may be paid up to three weeks after its creation, and Polar does not
    say when: orders created up to three weeks before --since are checked too.

    Polar shows a subscription only as it is today. An order whose amount depends on that is listed and not
    granted, unless you pass --assume-current.

    After an interruption, run the command again. In a script with --yes it prints nothing if nothing is
    missing. If the ledger was lost, it grants nothing: run credits rebuild first.

    Example: credits backfill --since 7d --dry-run
    """
    settings = read_settings("backfill")
    rules = load_rules(settings.rules_path)
    now = datetime.now(UTC)
    if since >= (end := min(until or now, now)):
        raise click.UsageError("--until must be later than --since")
    with closing(polar_for(settings)) as polar, open_stores(settings) as held:
        backfiller = backfiller_for(held, polar, show_wait)
        if is_ledger_lost(held.ledger, polar, pacer_for(held, show_wait), now=now):
            raise CommandError(LEDGER_LOST)
        with show_progress("reading orders", json=json) as update:
            backlog = backfiller.find_missing(
                rules, since=since, until=end, now=now, assume_current=assume_current, on_progress=update
            )
        if not json and not (yes and backlog.is_empty and not sys.stdout.isatty()):
            _print_backlog(backlog, rules)
        count = len(backlog.scan.missing) + len(backlog.interrupted)
        if dry_run or not (count and confirm(_action(backlog, count), yes=yes)):
            count = 0
        batches = backfiller.grant(backlog, granter_for(settings, held, lambda: rules)) if count else iter(())
        outcomes, trouble = run_with_progress(batches, count, json=json)
    if backlog.not_listed:
        print_not_listed(format_count(backlog.not_listed, "order"), backlog.not_listed_around)
    _print_result(backlog, rules, outcomes, trouble, json=json)
    failing = backlog.scan.failing and not dry_run
    if trouble or has_unfinished(outcomes) or failing or backlog.not_listed:
        raise click.exceptions.Exit(1)


def _action(backlog: Backlog, count: int) -> str:
    action = f"grant {format_count(count, 'missing order')}"
    return f"{action}: {_total(backlog.scan.missing.values())}" if backlog.scan.missing else action


def _print_result(backlog: Backlog, rules: Rules, outcomes: Outcomes, trouble: str, *, json: bool) -> None:
    if json:
        print_json(_json(backlog, rules, outcomes, trouble))
    else:
        print_outcomes(outcomes, trouble)


def _print_backlog(backlog: Backlog, rules: Rules) -> None:
    scan = backlog.scan
    for warning in _warnings(backlog, rules):
        console(stderr=True).print(literal(warning))
    if scan.missing:
        rows: Iterator[list[Cell]] = (
            [format_age(one.created_at), one.order_id, _would_text(one)] for one in scan.missing.values()
        )
        print_first(["created", "order", "backfill would"], rows)
    _print_problems("not granted: part of it may be missing", scan.partial)
    _print_problems("depends on the subscription as it is today", scan.needs_review)
    _print_problems("cannot be computed", scan.failing)
    if counts := [[str(count), label] for count, label in _counts(backlog) if count]:
        print_table(["orders", ""], counts)
    else:
        console().print("Polar has no paid orders from that time")


def _would_text(one: MissingOrder) -> str:
    return one.prospect.text + (" (its webhook was skipped)" if one.was_skipped else "")


def _print_problems(title: str, problems: Iterable[OrderProblem]) -> None:
    print_first(["order", title], ([one.order_id, one.reason] for one in problems))


def _counts(backlog: Backlog) -> Iterator[tuple[int, str]]:
    scan = backlog.scan
    yield scan.read, "read"
    yield len(scan.missing), f"missing: {_total(scan.missing.values())}"
    yield sum(one.was_skipped for one in scan.missing.values()), _SKIPPED_BEFORE
    yield len(backlog.interrupted), "started by an interrupted backfill, to be finished"
    yield scan.granted, "already granted"
    yield backlog.waiting, "not touched: their webhooks wait here already"
    yield backlog.claimed_elsewhere, "not touched: claimed by a delivery, not at Polar yet"
    yield scan.dismissed, "not touched: dismissed (a lost Redis forgets what was dismissed)"
    yield len(scan.needs_review), "not granted: pass --assume-current to use what Polar shows today"
    yield len(scan.failing), "not granted: cannot be computed"
    yield scan.already_failed, "not granted: cannot be computed, and their deliveries have failed"
    for reason, count in scan.skipped.most_common():
        yield count, f"skipped: {reason}"


def _total(missing: Iterable[MissingOrder]) -> str:
    return add_up_distinct(one.prospect.grants for one in missing)


def _warnings(backlog: Backlog, rules: Rules) -> list[str]:
    if not backlog.scan.missing:
        return []
    found = {_NO_CREDIT_FROM: rules.credit_from is None, _REBUILT: backlog.scan.was_rebuilt}
    return [text for text, applies in found.items() if applies]


def _json(backlog: Backlog, rules: Rules, outcomes: Outcomes, trouble: str) -> BackfillJson:
    scan = backlog.scan
    return {
        "read": scan.read,
        "missing": streamed(map(_missing_json, scan.missing.values())),
        "begun": list(backlog.interrupted),
        "granted": scan.granted,
        "waiting": backlog.waiting,
        "claimed": backlog.claimed_elsewhere,
        "dismissed": scan.dismissed,
        "needs_review": streamed(map(_review_json, scan.needs_review)),
        "failing": streamed(map(_failing_json, scan.failing)),
        "already_failed": scan.already_failed,
        "skipped": [{"reason": reason, "orders": count} for reason, count in scan.skipped.most_common()],
        "not_listed": backlog.not_listed,
        "not_listed_around": [iso(one) for one in backlog.not_listed_around],
        "warnings": streamed(
            chain(_warnings(backlog, rules), (f"{one.order_id}: {one.reason}" for one in scan.partial))
        ),
        "outcomes": streamed(map(outcome_json, outcomes)),
        "trouble": trouble or None,
    }


def _review_json(one: OrderProblem) -> NeedsReviewJson:
    return {"order_id": one.order_id, "depends_on": one.reason}


def _failing_json(one: OrderProblem) -> FailingJson:
    return {"order_id": one.order_id, "reason": one.reason}


def _missing_json(one: MissingOrder) -> MissingJson:
    return {
        "order_id": one.order_id,
        "customer_id": one.customer_id,
        "created_at": iso(one.created_at),
        "would": one.prospect.text,
        "was_skipped": one.was_skipped,
        "grants": [planned_json(grant) for grant in one.grants],
    }
