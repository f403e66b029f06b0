"""``credits replay``: run stored deliveries again, in this process."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

import click
from msgspec import Struct

from app.cli.batches import Outcomes, has_unfinished, print_outcomes
from app.cli.find_delivery import find_deliveries
from app.cli.options import dry_run_option, json_option, received_since_option, type_option, yes_option
from app.cli.output import (
    Cell,
    console,
    describe_erasure,
    literal,
    print_first,
    print_json,
    status_text,
    streamed,
)
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.cli.shapes import ProspectJson
from app.cli.stores import open_stores
from app.errors import CommandError
from config.rules import Rules, load_rules
from config.wording import format_count
from workers.core.batches import in_batches
from workers.core.delivery import Delivery, Status
from workers.core.dry_run import Prospect
from workers.operations.replay import Replayer
from workers.operations.spool import Spool, SpooledList
from workers.operations.totals import add_up_on_disk
from workers.store.stores import Stores

_AT_ONCE = 200  # deliveries that are planned in one step


class _Planned(Struct, frozen=True, kw_only=True):
    delivery: Delivery
    prospect: Prospect
    is_revived: bool

    @property
    def changes(self) -> bool:
        """Return whether a replay would change anything: a credit, a status, or a dismissal."""
        if self.prospect.grants or self.is_revived or self.delivery.status is Status.WAITING:
            return True
        return self.prospect.fails != (self.delivery.status is Status.FAILED)


@click.command("replay")
@click.argument("deliveries", nargs=-1, help="Deliveries, by their ids, or the starts of these.")
@click.option("--failed", is_flag=True, help="All that failed.")
@click.option("--skipped", is_flag=True, help="All that were skipped, except those that were dismissed.")
@click.option("--all", "all_", is_flag=True, help="All that are kept.")
@type_option
@received_since_option
@dry_run_option
@yes_option
@json_option
def replay(
    *,
    deliveries: tuple[str, ...],
    failed: bool,
    skipped: bool,
    all_: bool,
    type_: str | None,
    since: datetime | None,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    """Run stored deliveries again by today's rules, oldest first.

    What was granted stays as it was; nothing is credited twice. Before it asks, it lists what would change
    and the totals. If nothing would change, it does not ask, and runs the deliveries only with --yes.

    Example: credits replay --failed --since 24h
    """
    settings = read_settings("replay")
    rules = load_rules(settings.rules_path)
    if not dry_run:
        settings.require_token()
    with open_stores(settings) as held:
        replayer = Replayer(deliveries=held.deliveries, ledger=held.ledger)
        statuses = _statuses(failed, skipped, all_)
        if bool(deliveries) == bool(statuses):
            raise click.UsageError("give either the ids of deliveries, or --failed, --skipped or --all")
        by_name = bool(deliveries)
        selected = (
            _select_named(held, deliveries) if deliveries else _select(replayer, statuses, type_, since)
        )
        needs_plan = dry_run or not (json and yes)
        plan = _plan(replayer, selected if needs_plan else (), rules, by_name=by_name)
        if json and (dry_run or not selected):
            print_json(streamed(map(_json, plan)))
        elif not json:
            _print_plan(plan, is_folded=not by_name)
        if dry_run or not selected:
            return
        if not yes and not any(one.changes for one in plan):
            _end_without_running(plan, json=json)
        elif not confirm(_action(plan, len(selected)), yes=yes):
            return
        from app.cli.runs import replay_now  # noqa: PLC0415 - a dry run need not wait for what grants

        outcomes, trouble = replay_now(selected, rules, settings, held, by_name=by_name, json=json)
    print_outcomes(outcomes, trouble, json=json)
    if trouble or has_unfinished(outcomes) or _are_left(selected, outcomes):
        raise click.exceptions.Exit(1)


def _statuses(failed: bool, skipped: bool, all_: bool) -> list[Status]:
    if all_:
        return list(Status)
    return [Status.FAILED] * failed + [Status.SKIPPED] * skipped


def _select(
    replayer: Replayer, statuses: list[Status], type_: str | None, since: datetime | None
) -> Collection[Delivery]:
    selection = replayer.select(statuses, type_=type_, since=since)
    if selection.erased:
        text = f"{selection.erased} left out: their bodies were erased (credits forget)"
        console(stderr=True).print(literal(text))
    return selection.deliveries


def _select_named(held: Stores, ids: Sequence[str]) -> Collection[Delivery]:
    named = sorted(find_deliveries(held, ids), key=lambda one: one.received_at)
    if erased := [f"{one.id}: {describe_erasure(one)}" for one in named if one.erased_at]:
        raise CommandError(f"cannot be replayed: {', '.join(erased)} (credits forget)")
    return named


def _plan(
    replayer: Replayer, selected: Iterable[Delivery], rules: Rules, *, by_name: bool
) -> Collection[_Planned]:
    """Return what a replay would do with each delivery."""
    plan: SpooledList[_Planned] = Spool().list(_Planned)
    for some in in_batches(selected, _AT_ONCE):
        for one, prospect in zip(some, replayer.preview_all(some, rules, by_name=by_name), strict=True):
            is_revived = by_name and one.is_dismissed
            plan.append(_Planned(delivery=one, prospect=prospect, is_revived=is_revived))
    return plan


def _are_left(selected: Iterable[Delivery], outcomes: Outcomes) -> bool:
    """Return whether a delivery has no outcome."""
    done = Spool().set()
    for outcome in outcomes:
        done.add(outcome.delivery_id)
    return any(one.id not in done for one in selected)


def _end_without_running(plan: Collection[_Planned], *, json: bool) -> None:
    """Exit, because nothing would change: there is nothing to ask."""
    if json:
        print_json([])
    raise click.exceptions.Exit(1 if any(one.prospect.fails for one in plan) else 0)


def _action(plan: Collection[_Planned], count: int) -> str:
    return f"replay {format_count(count, 'delivery')}: {add_up_on_disk(one.prospect.grants for one in plan)}"


def _json(one: _Planned) -> ProspectJson:
    return {"id": one.delivery.id, "status": one.delivery.status, "would": one.prospect.text}


def _print_plan(plan: Collection[_Planned], *, is_folded: bool) -> None:
    """Print what would happen; deliveries that would stay as they are are only counted if ``is_folded``."""
    if not plan:
        console().print("nothing to replay")
        return
    listed = (one for one in plan if one.changes or one.prospect.fails or not is_folded)
    rows: Iterator[list[Cell]] = (
        [one.delivery.id, status_text(one.delivery.status), one.delivery.order_id or "-", one.prospect.text]
        for one in listed
    )
    count = print_first(["delivery", "status", "order", "replay would"], rows)
    note = " (--dry-run --json lists all)" if count < len(plan) else ""
    console().print(literal(f"in all: {'; '.join(_totals(plan))}{note}"))


def _totals(plan: Collection[_Planned]) -> Iterator[str]:
    """Yield what is granted, and how many deliveries stay as they are or end without credits."""
    if any(one.changes for one in plan):
        yield str(add_up_on_disk(one.prospect.grants for one in plan))
    else:
        yield "nothing would change"
    stays = Counter(one.delivery.status for one in plan if not one.changes)
    for status, count in stays.items():
        yield f"{count} {'stays' if count == 1 else 'stay'} {status}"
    if ends := sum(one.changes and not one.prospect.grants for one in plan):
        yield f"{ends} {'ends' if ends == 1 else 'end'} without credits"
