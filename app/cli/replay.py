"""``credits replay``: run stored deliveries again, in this process."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from app.cli.batches import has_unfinished, print_outcomes, run_with_progress
from app.cli.context import open_stores, read_settings
from app.cli.deliveries import find_deliveries
from app.cli.options import DeliveryType, DryRun, Json, ReceivedSince, Yes
from app.cli.output import (
    Cell,
    console,
    describe_erasure,
    literal,
    print_json,
    print_once,
    print_table,
    status_text,
)
from app.cli.prompts import confirm
from app.cli.shapes import ProspectJson
from app.errors import CommandError
from config.rules import load_rules
from config.wording import format_count
from workers.core.delivery import Delivery, Status
from workers.operations.pacing import Pacer
from workers.operations.replay import Replayer
from workers.runtime import granter_for
from workers.store.stores import Stores


def replay(
    *,
    deliveries: Annotated[list[str] | None, typer.Argument(help="Deliveries, by their ids.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    skipped: Annotated[
        bool, typer.Option("--skipped", help="All that were skipped, except those that were dismissed.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="All that are kept.")] = False,
    type_: DeliveryType = None,
    since: ReceivedSince = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Run stored deliveries again by today's rules, oldest first.

    What was granted stays as it was; nothing is credited twice.

    Example: credits replay --failed --since 24h
    """
    settings = read_settings("replay", quiet=True)
    rules = load_rules(settings.rules_path)
    if not dry_run:
        settings.require_token()
    with open_stores(settings) as held:
        replayer = Replayer(deliveries=held.deliveries, ledger=held.ledger)
        statuses = _statuses(failed, skipped, all_)
        if bool(deliveries) == bool(statuses):
            raise typer.BadParameter("give either the ids of deliveries, or --failed, --skipped or --all")
        by_name = bool(deliveries)
        if deliveries:
            selected = _select_named(held, deliveries)
        else:
            selected = _select(replayer, statuses, type_, since)
        if dry_run or not selected or not json:
            _print_previews(
                [(one, replayer.preview(one, rules, by_name=by_name)) for one in selected], json=json
            )
        count = format_count(len(selected), "delivery")
        if dry_run or not selected or not confirm(f"replay {count}", yes=yes):
            return
        granter = granter_for(settings, held, lambda: rules)
        pacer = Pacer(throttle=held.throttle, notify=print_once)
        batches = replayer.run([one.id for one in selected], granter, pacer, by_name=by_name)
        outcomes, trouble = run_with_progress(batches, len(selected), json=json)
    print_outcomes(outcomes, trouble, json=json)
    left = {one.id for one in selected} - {one.delivery_id for one in outcomes}
    if trouble or has_unfinished(outcomes) or left:
        raise typer.Exit(1)


def _statuses(failed: bool, skipped: bool, all_: bool) -> list[Status]:
    if all_:
        return list(Status)
    return [Status.FAILED] * failed + [Status.SKIPPED] * skipped


def _select(
    replayer: Replayer, statuses: list[Status], type_: str | None, since: datetime | None
) -> Sequence[Delivery]:
    selection = replayer.select(statuses, type_=type_, since=since)
    if selection.erased:
        text = f"{selection.erased} left out: their bodies were erased (credits forget)"
        console(stderr=True).print(literal(text))
    return selection.deliveries


def _select_named(held: Stores, ids: list[str]) -> Sequence[Delivery]:
    named = sorted(find_deliveries(held, list(dict.fromkeys(ids))), key=lambda one: one.received_at)
    if erased := [f"{one.id}: {describe_erasure(one)}" for one in named if one.erased_at]:
        raise CommandError(f"cannot be replayed: {', '.join(erased)} (credits forget)")
    return named


def _print_previews(previews: Sequence[tuple[Delivery, str]], *, json: bool) -> None:
    if json:
        answer: list[ProspectJson] = [
            {"id": one.id, "status": one.status, "would": would} for one, would in previews
        ]
        print_json(answer)
    elif previews:
        rows: list[list[Cell]] = [
            [one.id, status_text(one.status), one.order_id or "-", would] for one, would in previews
        ]
        print_table(["delivery", "status", "order", "replay would"], rows)
    else:
        console().print("nothing to replay")
