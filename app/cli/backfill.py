"""``credits backfill``: grant what paid orders at Polar were never credited."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from app.cli.batches import has_unfinished, outcome_json, print_outcomes, run_with_progress, show_progress
from app.cli.context import open_stores, read_settings
from app.cli.options import DryRun, Json, Yes, parse_time
from app.cli.output import (
    Cell,
    console,
    format_age,
    format_count,
    literal,
    print_first,
    print_json,
    print_once,
    print_table,
)
from app.cli.prompts import confirm
from app.cli.repair_shapes import BackfillJson, MissingJson
from app.cli.to_json import iso, planned_json
from app.errors import CommandError
from config.rules import Rules, load_rules
from workers.core.delivery import Outcome
from workers.core.wording import credits_text
from workers.operations.backfill.order_scan import MissingOrder, OrderProblem
from workers.operations.backfill.run import Backlog
from workers.operations.rebuild.lost_ledger import LEDGER_LOST, is_ledger_lost
from workers.runtime import backfiller_for, granter_for, pacer_for, polar_for

_NO_CREDIT_FROM = (
    "the rules have no credit_from: orders that somebody else credited before you went live would be "
    "credited again"
)


def backfill(
    *,
    since: Annotated[
        datetime,
        typer.Option("--since", metavar="WHEN", help="Paid since: 7d, or a time.", parser=parse_time),
    ],
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until", metavar="WHEN", help="Only created before: 1d, or a time.", parser=parse_time
        ),
    ] = None,
    assume_current: Annotated[
        bool,
        typer.Option("--assume-current", help="Take today's seats and the like for those of then."),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Read paid orders from Polar and grant what is missing.

    For webhooks that never came. An order may be paid three weeks after it was created and does not say
    when: those created up to three weeks before are looked at too. Each is planned by today's rules as its
    webhook would have been; nothing is credited twice. Polar shows subscriptions as they are today: where
    an amount rests on that, the order is listed and left, unless you say --assume-current. Run it again to
    go on after an interruption. With --yes and no terminal it says nothing where there was nothing to do.
    With a ledger that was lost it grants nothing: run credits rebuild first.

    Example: credits backfill --since 7d --dry-run
    """
    settings = read_settings("backfill", quiet=True)
    rules = load_rules(settings.rules_path)
    now = datetime.now(UTC)
    if since >= (end := min(until or now, now)):
        raise typer.BadParameter("--until must be later than --since")
    with closing(polar_for(settings)) as polar, open_stores(settings) as held:
        backfiller = backfiller_for(held, polar, print_once)
        if is_ledger_lost(held.ledger, polar, pacer_for(held, print_once), now=now):
            raise CommandError(LEDGER_LOST)
        with show_progress("reading orders", json=json) as tell:
            backlog = backfiller.find_missing(
                rules, since=since, until=end, now=now, assume_current=assume_current, on_progress=tell
            )
        if not json and not (yes and backlog.is_empty and not sys.stdout.isatty()):
            _print(backlog, rules)
        count = len(backlog.scan.missing) + len(backlog.interrupted)
        if dry_run or not (count and confirm(f"grant what {format_count(count, 'order')} missed", yes=yes)):
            count = 0
        batches = backfiller.grant(backlog, granter_for(settings, held, lambda: rules)) if count else iter(())
        outcomes, trouble = run_with_progress(batches, count, json=json)
    _tell(backlog, rules, outcomes, trouble, json=json)
    if trouble or has_unfinished(outcomes) or (backlog.scan.failing and not dry_run):
        raise typer.Exit(1)


def _tell(backlog: Backlog, rules: Rules, outcomes: list[Outcome], trouble: str, *, json: bool) -> None:
    if json:
        print_json(_json(backlog, rules, outcomes, trouble))
    else:
        print_outcomes(outcomes, trouble)


def _print(backlog: Backlog, rules: Rules) -> None:
    scan = backlog.scan
    for words in _warnings(backlog, rules):
        console(stderr=True).print(literal(words))
    if scan.missing:
        rows: list[list[Cell]] = [
            [format_age(one.created_at), one.order_id, one.dry_run_text] for one in scan.missing.values()
        ]
        print_first(["created", "order", "would"], rows)
    _print_left("left: it may lack a part", scan.partial)
    _print_left("rests on what the subscription is today", scan.needs_review)
    _print_left("cannot be worked out", scan.failing)
    if counts := [[str(count), words] for count, words in _counts(backlog) if count]:
        print_table(["orders", ""], counts)
    else:
        console().print("Polar has no paid orders of that time")


def _print_left(why: str, left: Iterable[OrderProblem]) -> None:
    if rows := [[one.order_id, one.reason] for one in left]:
        print_first(["order", why], rows)


def _counts(backlog: Backlog) -> Iterator[tuple[int, str]]:
    scan = backlog.scan
    yield scan.read, "read"
    yield len(scan.missing), f"missing: {_total(scan.missing.values())}"
    yield len(backlog.interrupted), "begun by an earlier backfill, to be finished"
    yield scan.granted, "granted already"
    yield backlog.waiting, "left: their webhooks wait in the inbox"
    yield backlog.claimed_elsewhere, "left: claimed by a delivery, and not at Polar yet"
    yield backlog.already_settled, "left: their deliveries were dismissed"
    yield len(scan.needs_review), "left: say --assume-current to grant them by what Polar shows today"
    yield len(scan.failing), "left: cannot be worked out"
    yield backlog.already_failed, "left: cannot be worked out, and their deliveries failed for it already"
    for reason, count in scan.skipped.most_common():
        yield count, f"not for credit: {reason}"


def _total(missing: Iterable[MissingOrder]) -> str:
    return credits_text(grant for one in missing for grant in one.grants)


def _warnings(backlog: Backlog, rules: Rules) -> list[str]:
    return [_NO_CREDIT_FROM] if backlog.scan.missing and rules.credit_from is None else []


def _json(backlog: Backlog, rules: Rules, outcomes: Sequence[Outcome], trouble: str) -> BackfillJson:
    scan = backlog.scan
    return {
        "read": scan.read,
        "missing": [_missing_json(one) for one in scan.missing.values()],
        "begun": list(backlog.interrupted),
        "granted": scan.granted,
        "waiting": backlog.waiting,
        "claimed": backlog.claimed_elsewhere,
        "dismissed": backlog.already_settled,
        "needs_review": [{"order_id": one.order_id, "rests_on": one.reason} for one in scan.needs_review],
        "failing": [{"order_id": one.order_id, "reason": one.reason} for one in scan.failing],
        "parked": backlog.already_failed,
        "skipped": [{"reason": why, "orders": count} for why, count in scan.skipped.most_common()],
        "warnings": [*_warnings(backlog, rules), *(f"{one.order_id}: {one.reason}" for one in scan.partial)],
        "outcomes": [outcome_json(one) for one in outcomes],
        "trouble": trouble or None,
    }


def _missing_json(one: MissingOrder) -> MissingJson:
    return {
        "order_id": one.order_id,
        "customer_id": one.customer_id,
        "created_at": iso(one.created_at),
        "would": one.dry_run_text,
        "grants": [planned_json(grant) for grant in one.grants],
    }
