"""``credits replay``: run stored deliveries again, here and now, whatever the workers do."""

import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from app.cli.look import Since, Type, find, select
from app.cli.output import Cell, console, literal, print_json, print_table, status_text
from app.cli.root import Json, root, settings_for
from config.rules import Rules, load_rules
from config.settings import Settings
from workers.cases import open_case
from workers.granting import MOST_DELIVERIES
from workers.planning import Plan
from workers.prospects import prospect
from workers.records import Delivery, Lease, Leased, Outcome, Status
from workers.runtime import Stores, granter_for, require_token, stores

_LONGEST_SAT_OUT = timedelta(seconds=5)


@root.command()
def replay(
    *,
    deliveries: Annotated[list[str] | None, typer.Argument(help="Deliveries, by their ids.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    skipped: Annotated[bool, typer.Option("--skipped", help="All that were skipped.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="All that are kept.")] = False,
    type_: Type = None,
    since: Since = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Run stored deliveries again by today's rules.

    Oldest first. What was granted stays as it was; nothing is credited twice.

    Example: credits replay --failed --since 24h
    """
    settings = settings_for("replay", quiet=True)
    rules = load_rules(settings.rules_path)
    if not dry_run:
        require_token(settings)
    with stores(settings) as held:
        chosen = _chosen(held, deliveries or [], _statuses(failed, skipped, all_), type_, since)
        if dry_run or not chosen or not json:
            _print_prospects([(one, outlook(one, held, rules)) for one in chosen], json=json)
        if dry_run or not chosen or not _agreed(len(chosen), yes=yes):
            return
        outcomes = _run(settings, held, rules, [one.id for one in chosen])
    _print_outcomes(outcomes, json=json)
    unfinished = any(one.status in {Status.FAILED, Status.WAITING} for one in outcomes)
    if unfinished or len(outcomes) < len(chosen):
        raise typer.Exit(1)


def outlook(delivery: Delivery, held: Stores, rules: Rules) -> str:
    """Say what a replay would come to; touches nothing."""
    leased = Leased(
        id=delivery.id, type=delivery.type, body=held.deliveries.body(delivery.id), strikes=0, attempt=0
    )
    case = open_case(leased, rules)
    return prospect(case, held.ledger.look(case.plan or Plan(subject="")))


def _statuses(failed: bool, skipped: bool, all_: bool) -> list[Status]:
    if all_:
        return list(Status)
    return [Status.FAILED] * failed + [Status.SKIPPED] * skipped


def _chosen(
    held: Stores,
    ids: list[str],
    statuses: list[Status],
    type_: str | None,
    since: datetime | None,
) -> list[Delivery]:
    if bool(ids) == bool(statuses):
        raise typer.BadParameter("name deliveries, or say --failed, --skipped or --all")
    if ids:
        return sorted(find(held, list(dict.fromkeys(ids))), key=lambda one: one.received_at)
    return list(select(held, statuses, type_=type_, since=since))[::-1]


def _agreed(count: int, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{count} deliveries would be replayed; say --yes (or --dry-run)")
    return typer.confirm(f"Replay {count} deliveries?")


def _run(settings: Settings, held: Stores, rules: Rules, ids: Sequence[str]) -> list[Outcome]:
    """Run ``ids``, some hundreds at a time; during an outage what was not begun is left as it was."""
    granter = granter_for(settings, held, lambda: rules)
    outcomes: list[Outcome] = []
    for start in range(0, len(ids), MOST_DELIVERIES):
        if outage := _await_turn(held):
            console(stderr=True).print(literal(f"{len(ids) - start} left as they were: {outage}"))
            break
        taken = held.deliveries.reopen(ids[start : start + MOST_DELIVERIES])
        outcomes += granter.run(Lease(deliveries=taken))
    return outcomes


def _await_turn(held: Stores) -> str:
    """Sit out a short pause, as our share of the rate limit brings; return why a long one stands."""
    while pause := held.pauses.standing():
        if pause.left > _LONGEST_SAT_OUT:
            return f"Polar is not asked for {round(pause.left.total_seconds())} s more: {pause.reason}"
        time.sleep(pause.left.total_seconds())
    return ""


def _print_prospects(prospects: Sequence[tuple[Delivery, str]], *, json: bool) -> None:
    if json:
        print_json([{"id": one.id, "status": one.status.value, "would": would} for one, would in prospects])
    elif prospects:
        rows: list[list[Cell]] = [
            [one.id, status_text(one.status), one.order_id or "-", would] for one, would in prospects
        ]
        print_table(["delivery", "is", "order", "would"], rows)
    else:
        console().print("nothing to replay")


def _print_outcomes(outcomes: Sequence[Outcome], *, json: bool) -> None:
    if json:
        print_json([_outcome_json(one) for one in outcomes])
        return
    rows: list[list[Cell]] = [
        [one.delivery_id, status_text(one.status), one.order_id or "-", one.reason] for one in outcomes
    ]
    print_table(["delivery", "became", "order", "reason"], rows)


def _outcome_json(one: Outcome) -> dict[str, Any]:
    return {
        "id": one.delivery_id,
        "status": one.status.value,
        "reason": one.reason,
        "order_id": one.order_id or None,
        "customer_id": one.customer_id or None,
    }
