"""``credits replay``: run stored deliveries again, in this process."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from app.cli.batches import has_unfinished, print_outcomes, run_with_progress
from app.cli.find_delivery import find_deliveries
from app.cli.options import DeliveryType, DryRun, Json, ReceivedSince, Yes
from app.cli.output import (
    Cell,
    console,
    describe_erasure,
    literal,
    print_first,
    print_json,
    status_text,
)
from app.cli.progress import show_wait
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.cli.shapes import ProspectJson
from app.cli.stores import open_stores
from app.errors import CommandError
from config.rules import Rules, load_rules
from config.wording import format_count
from workers.core.delivery import Delivery, Status
from workers.core.dry_run import Prospect
from workers.core.totals import add_up
from workers.operations.pacing import Pacer
from workers.operations.replay import Replayer
from workers.runtime import granter_for
from workers.store.stores import Stores


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    delivery: Delivery
    prospect: Prospect
    is_revived: bool

    @property
    def changes(self) -> bool:
        """Return whether a replay would change anything: a credit, a status, or a dismissal."""
        if self.prospect.grants or self.is_revived or self.delivery.status is Status.WAITING:
            return True
        return self.prospect.fails != (self.delivery.status is Status.FAILED)


def replay(
    *,
    deliveries: Annotated[
        list[str] | None, typer.Argument(help="Deliveries, by their ids, or the starts of these.")
    ] = None,
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

    What was granted stays as it was; nothing is credited twice. Before it asks, it lists what would change
    and the totals. If nothing would change, it does not ask, and runs the deliveries only with --yes.

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
        needs_plan = dry_run or not (json and yes)
        plan = [_preview(replayer, one, rules, by_name=by_name) for one in selected] if needs_plan else []
        if json and (dry_run or not selected):
            print_json([_json(one) for one in plan])
        elif not json:
            _print_plan(plan, is_folded=not by_name)
        if dry_run or not selected:
            return
        if not yes and not any(one.changes for one in plan):
            _end_without_running(plan, json=json)
        elif not confirm(_action(plan, len(selected)), yes=yes):
            return
        granter = granter_for(settings, held, lambda: rules)
        pacer = Pacer(throttle=held.throttle, show_wait=show_wait)
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
    named = sorted(find_deliveries(held, ids), key=lambda one: one.received_at)
    if erased := [f"{one.id}: {describe_erasure(one)}" for one in named if one.erased_at]:
        raise CommandError(f"cannot be replayed: {', '.join(erased)} (credits forget)")
    return named


def _preview(replayer: Replayer, one: Delivery, rules: Rules, *, by_name: bool) -> _Planned:
    return _Planned(
        delivery=one,
        prospect=replayer.preview(one, rules, by_name=by_name),
        is_revived=by_name and one.is_dismissed,
    )


def _end_without_running(plan: Sequence[_Planned], *, json: bool) -> None:
    """Exit, because nothing would change: there is nothing to ask."""
    if json:
        print_json([])
    raise typer.Exit(1 if any(one.prospect.fails for one in plan) else 0)


def _action(plan: Sequence[_Planned], count: int) -> str:
    return f"replay {format_count(count, 'delivery')}: {add_up(one.prospect.grants for one in plan)}"


def _json(one: _Planned) -> ProspectJson:
    return {"id": one.delivery.id, "status": one.delivery.status, "would": one.prospect.text}


def _print_plan(plan: Sequence[_Planned], *, is_folded: bool) -> None:
    """Print what would happen; deliveries that would stay as they are are only counted if ``is_folded``."""
    if not plan:
        console().print("nothing to replay")
        return
    listed = [one for one in plan if one.changes or one.prospect.fails or not is_folded]
    if listed:
        rows: list[list[Cell]] = [
            [
                one.delivery.id,
                status_text(one.delivery.status),
                one.delivery.order_id or "-",
                one.prospect.text,
            ]
            for one in listed
        ]
        print_first(["delivery", "status", "order", "replay would"], rows)
    note = " (--dry-run --json lists all)" if len(listed) < len(plan) else ""
    console().print(literal(f"in all: {'; '.join(_totals(plan))}{note}"))


def _totals(plan: Sequence[_Planned]) -> Iterator[str]:
    """Yield what is granted, and how many deliveries stay as they are or end without credits."""
    if any(one.changes for one in plan):
        yield str(add_up(one.prospect.grants for one in plan))
    else:
        yield "nothing would change"
    stays = Counter(one.delivery.status for one in plan if not one.changes)
    for status, count in stays.items():
        yield f"{count} {'stays' if count == 1 else 'stay'} {status}"
    if ends := sum(one.changes and not one.prospect.grants for one in plan):
        yield f"{ends} {'ends' if ends == 1 else 'end'} without credits"
