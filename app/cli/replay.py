"""``credits replay``: run stored deliveries again, here and now, whatever the workers do."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from app.cli.batches import agreed, counted, is_unfinished, notify, print_outcomes, run_all
from app.cli.deliveries import Since, Type, find, select
from app.cli.output import Cell, console, erased_text, literal, print_json, print_table, status_text
from app.cli.root import Json, opened, root, settings_for
from app.cli.shapes import ProspectJson
from app.errors import CommandError
from config.rules import Rules, load_rules
from config.settings import Settings
from workers.core.delivery import Delivery, Outcome, Status
from workers.core.delivery_plans import plan_delivery
from workers.core.dry_run import dry_run_text
from workers.core.planning import Plan
from workers.operations.pacing import Pacer, run_batches
from workers.runtime import granter_for
from workers.store.stores import Stores


@root.command()
def replay(
    *,
    deliveries: Annotated[list[str] | None, typer.Argument(help="Deliveries, by their ids.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    skipped: Annotated[
        bool, typer.Option("--skipped", help="All that were skipped, but for dismissed ones.")
    ] = False,
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
        settings.require_token()
    with opened(settings) as held:
        chosen = _chosen(held, deliveries or [], _statuses(failed, skipped, all_), type_, since)
        if dry_run or not chosen or not json:
            _print_prospects([(one, outlook(one, held, rules)) for one in chosen], json=json)
        if dry_run or not chosen or not agreed(f"replay {counted(len(chosen), 'delivery')}", yes=yes):
            return
        outcomes, trouble = _run(settings, held, rules, [one.id for one in chosen], json=json)
    print_outcomes(outcomes, trouble, json=json)
    if trouble or is_unfinished(outcomes) or len(outcomes) < len(chosen):
        raise typer.Exit(1)


def outlook(delivery: Delivery, held: Stores, rules: Rules) -> str:
    """Say what a replay would come to; touches nothing."""
    planned = plan_delivery(delivery.type, held.deliveries.body(delivery.id), rules)
    return dry_run_text(planned, held.ledger.find_for_plan(planned.plan or Plan(subject="")))


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
        named = sorted(find(held, list(dict.fromkeys(ids))), key=lambda one: one.received_at)
        if erased := [f"{one.id}: {erased_text(one)}" for one in named if one.erased_at]:
            raise CommandError(f"cannot be run again: {', '.join(erased)} (credits forget)")
        return named
    found = list(select(held, statuses, type_=type_, since=since))[::-1]
    # What was dismissed may have been seen to in another way: it is run again by its name alone.
    found = [one for one in found if not one.is_dismissed]
    kept = [one for one in found if not one.erased_at]
    if len(kept) < len(found):
        words = f"{len(found) - len(kept)} left out: their bodies were erased (credits forget)"
        console(stderr=True).print(literal(words))
    return kept


def _run(
    settings: Settings, held: Stores, rules: Rules, ids: Sequence[str], *, json: bool
) -> tuple[list[Outcome], str]:
    granter, pacer = granter_for(settings, held, lambda: rules), Pacer(throttle=held.throttle, notify=notify)
    batches = run_batches(ids, held.deliveries.reopen, pacer=pacer, granter=granter, store=held.deliveries)
    return run_all(batches, len(ids), json=json)


def _print_prospects(prospects: Sequence[tuple[Delivery, str]], *, json: bool) -> None:
    if json:
        told: list[ProspectJson] = [
            {"id": one.id, "status": one.status, "would": would} for one, would in prospects
        ]
        print_json(told)
    elif prospects:
        rows: list[list[Cell]] = [
            [one.id, status_text(one.status), one.order_id or "-", would] for one, would in prospects
        ]
        print_table(["delivery", "is", "order", "would"], rows)
    else:
        console().print("nothing to replay")
