"""Replaying: what it would do, and after a confirmation the workers do it."""

import shlex
from collections.abc import Mapping, Sequence

from msgspec import Struct

from app.desk.errors import DeskError
from app.desk.filters import Filters, read_filters
from app.desk.page import Elsewhere, Shown, Visit
from app.desk.pages.deliveries import BULK
from app.desk.pages.delivery import find
from config.wording import format_count
from workers.core.delivery import Delivery
from workers.core.dry_run import Prospect
from workers.core.totals import add_up
from workers.operations.replay import Replayer
from workers.store.format import require_known

MOST_AT_ONCE = 100  # previewed in less than a tenth of a second; for more there is the command
_MOST_READ = 500


class PlannedReplay(Struct, frozen=True, kw_only=True):
    """A delivery, and what a replay would do."""

    delivery: Delivery
    prospect: Prospect


class ReplayPage(Struct, frozen=True, kw_only=True):
    """The preview; ``plan`` is what the confirmation sends back."""

    planned: Sequence[PlannedReplay]
    products: Mapping[str, str]
    """Names by delivery."""
    totals: str
    plan: str
    command: str
    """The same on the command line, for all that the filters want."""
    has_more: bool
    rules_problems: Sequence[str]
    is_single: bool
    filters: Mapping[str, object]
    """The fields of the list from which the operator comes."""


def gather(visit: Visit) -> Shown:
    """Preview the replay of one delivery, or of all that the filters want."""
    is_single = bool(visit.get("id"))
    fields: Mapping[str, object] = {}
    if is_single:
        chosen, has_more, command = [find(visit)], False, f"credits replay {shlex.quote(visit.get('id'))}"
        if chosen[0].erased_at:
            raise DeskError(409, "Its body was erased (credits forget), so it cannot be replayed.")
    else:
        filters = read_filters(visit.fields)
        if filters.status not in BULK or filters.is_about_one:
            raise DeskError(400, "Choose failed or skipped deliveries, of any order and customer.")
        chosen, has_more = _choose(visit, filters)
        command, fields = _command(filters), filters.fields
    read = visit.parts.rules.current()
    replayer = Replayer(deliveries=visit.parts.stores.deliveries, ledger=visit.parts.stores.ledger)
    prospects = replayer.preview_all(chosen, read.rules, by_name=is_single)
    planned = [
        PlannedReplay(delivery=one, prospect=prospect)
        for one, prospect in zip(chosen, prospects, strict=True)
    ]
    page = ReplayPage(
        planned=planned,
        products=visit.parts.stores.deliveries.product_names(one.id for one in chosen),
        totals=str(add_up(one.prospect.grants for one in planned)),
        plan=visit.seal({"replay": [one.id for one in chosen], "by_name": is_single}),
        command=command,
        has_more=has_more,
        rules_problems=read.problems,
        is_single=is_single,
        filters=fields,
    )
    return Shown(template="replay.html", title="Replay", section="deliveries", model=page)


def run(visit: Visit) -> Elsewhere:
    """Make what was previewed due, so that the workers run it."""
    plan = visit.unseal()
    ids = plan.get("replay")
    if not ids:
        raise DeskError(400, "This is no preview of a replay.")
    stores = visit.parts.stores
    require_known(stores.redis)
    named = ids[0] if len(ids) == 1 else format_count(len(ids), "delivery")
    visit.note(f"replay {named}")
    by = f"{visit.session.name} at the desk"
    stores.deliveries.make_due(ids, by_name=bool(plan["by_name"]), replayed_by=by)
    if len(ids) == 1:
        return Elsewhere(page="delivery", fields={"id": ids[0]})
    return Elsewhere(page="actions", fields={})


def _choose(visit: Visit, filters: Filters) -> tuple[list[Delivery], bool]:
    """Return the newest deliveries that the filters want, and whether there are more.

    A person may have handled a dismissed delivery in another way, so it is replayed only by itself.
    """
    newest = visit.parts.stores.deliveries.newest(
        filters.statuses, since=filters.since, until=filters.until, at_once=MOST_AT_ONCE + 1
    )
    wanted: list[Delivery] = []
    for number, one in enumerate(newest):
        if len(wanted) == MOST_AT_ONCE or number == _MOST_READ:
            return wanted, True
        if filters.want(one) and not one.is_dismissed and not one.erased_at:
            wanted.append(one)
    return wanted, False


def _command(filters: Filters) -> str:
    words = ["credits", "replay", f"--{filters.status.value}" if filters.status else "--all"]
    if filters.type:
        words += ["--type", filters.type]
    if filters.since:
        words += ["--since", f"{filters.since:%Y-%m-%dT%H:%M:%SZ}"]
    return shlex.join(words)
