"""Prints what ``credits adjust`` would do, and what it did."""

from collections.abc import Iterable, Iterator

from app.cli.batches import Outcomes, outcome_json
from app.cli.output import Cell, console, literal, print_first, streamed
from app.cli.repair_shapes import AdjustedOrderJson, AdjustJson, LeftAloneJson
from app.cli.to_json import planned_json
from config.rules import ORDER_TRIGGERS
from config.wording import format_count, joined
from workers.core.grants import Grant
from workers.core.totals import signed_totals
from workers.core.wording import plain
from workers.operations.adjust.scan import AdjustedOrder, AdjustScan, SkippedOrder, by_reason


def print_scan(scan: AdjustScan) -> None:
    """Print the orders that change, those that are left alone, and the totals."""
    for warning in _warnings(scan):
        console(stderr=True).print(literal(warning))
    if scan.adjusting:
        rows: Iterator[list[Cell]] = (
            [one.order_id, ", ".join(map(_change_text, one.grants)), signed_totals(one.grants)]
            for one in scan.adjusting
        )
        print_first(["order", f"rule {scan.rule.name}", "adjust would send"], rows)
    print_skipped("skipped", scan.skipped)
    print_skipped("cannot be computed", scan.failing)
    console().print(literal(f"in all: {'; '.join(_totals(scan))}"))


def print_skipped(title: str, skipped: Iterable[SkippedOrder]) -> None:
    """Print orders, each with its reason."""
    print_first(["order", title], ([one.order_id, one.reason] for one in skipped))


def describe_action(scan: AdjustScan) -> str:
    """Return what the command asks: ``adjust 37 orders, +1,665 api_usage``."""
    return f"adjust {_counted(scan)}"


def adjust_json(
    scan: AdjustScan, outcomes: Outcomes, review: Iterable[SkippedOrder], trouble: str
) -> AdjustJson:
    """Return what was found, and what became of it."""
    return {
        "rule": scan.rule.name,
        "read": scan.read,
        "adjusting": streamed(map(_adjusted_json, scan.adjusting)),
        "begun": streamed(scan.interrupted),
        "unchanged": scan.unchanged,
        "skipped": streamed(map(_skipped_json, scan.skipped)),
        "failing": streamed(map(_skipped_json, scan.failing)),
        "needs_review": streamed(map(_skipped_json, review)),
        "warnings": list(_warnings(scan)),
        "outcomes": streamed(map(outcome_json, outcomes)),
        "trouble": trouble or None,
    }


def _adjusted_json(one: AdjustedOrder) -> AdjustedOrderJson:
    return {
        "order_id": one.order_id,
        "customer_id": one.customer_id,
        "grants": [planned_json(grant) for grant in one.grants],
    }


def _skipped_json(one: SkippedOrder) -> LeftAloneJson:
    return {"order_id": one.order_id, "reason": one.reason}


def _change_text(grant: Grant) -> str:
    """Return from what to what the rule's part changes, before refunds."""
    revision = grant.revision
    return f"{plain(revision.before)} to {plain(revision.after)} {grant.meter}" if revision else grant.meter


def _totals(scan: AdjustScan) -> Iterator[str]:
    if scan.adjusting or scan.interrupted:
        yield _counted(scan)
    else:
        yield "nothing to adjust"
    for reason, count in by_reason(scan.skipped).items():
        yield f"{count} skipped: {reason}"
    if scan.failing:
        yield f"{len(scan.failing)} cannot be computed"
    if scan.unchanged:
        yield f"{scan.unchanged} unchanged"


def _counted(scan: AdjustScan) -> str:
    """Return how many orders change and by how much, and how many an interrupted run has left."""
    grants = (grant for one in scan.adjusting for grant in one.grants)
    new = f"{format_count(len(scan.adjusting), 'order')}, {signed_totals(grants)}" if scan.adjusting else ""
    left = f"{len(scan.interrupted)} left by an interrupted run" if scan.interrupted else ""
    return ", and ".join(filter(None, [new, left]))


def _warnings(scan: AdjustScan) -> Iterator[str]:
    if others := sorted(scan.rule.triggers - ORDER_TRIGGERS):
        yield f"only orders are adjusted, not what rule {scan.rule.name} gave by {joined(others)}"
