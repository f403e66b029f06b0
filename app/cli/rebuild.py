"""``credits rebuild``: read the ledger back from Polar after its Redis was lost."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import typer

from app.cli.batches import show_progress
from app.cli.context import open_stores, read_settings
from app.cli.options import DryRun, Json, Yes
from app.cli.output import (
    Cell,
    console,
    format_count,
    literal,
    print_first,
    print_json,
    print_once,
    print_table,
)
from app.cli.prompts import confirm
from app.cli.repair_shapes import RebuildJson, TraceJson
from app.cli.to_json import iso, json_number
from config.rules import load_rules
from workers.core.grants import Grant, order_of
from workers.core.usage_events import RecordedGrant
from workers.core.wording import plain
from workers.operations.pacing import Pacer
from workers.operations.rebuild.comparison import LedgerComparison
from workers.operations.rebuild.run import Rebuilder, RebuildResult
from workers.runtime import polar_for
from workers.store.restorations import RestorationStore


def rebuild(
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Read our own events back from Polar into the ledger.

    For a Redis that was lost, or put back from a backup: stop the workers first, and with them the
    reconciler. Each credit that we ever gave or took back stands at Polar with its key, and becomes an entry
    of the ledger again, with the amount as it was. Nothing is sent to Polar. What stands in the ledger stays;
    where Polar has another amount for it, the ledger gets Polar's, and both are listed. Then start the
    workers, and run credits backfill for what was really missing.

    Example: credits rebuild --dry-run
    """
    settings = read_settings("rebuild", quiet=True)
    rules = load_rules(settings.rules_path)
    with closing(polar_for(settings)) as polar, open_stores(settings) as held:
        pacer = Pacer(throttle=held.throttle, notify=print_once)
        rebuilder = Rebuilder(
            store=RestorationStore(held.redis), ledger=held.ledger, polar=polar, pacer=pacer
        )
        with show_progress("reading events", json=json) as tell:
            found = rebuilder.compare(rules, now=datetime.now(UTC), on_progress=tell)
        if not json:
            _print(found)
        todo = " and ".join(_todo(found))
        if not (todo or json):
            console().print("nothing to restore")
        if dry_run or (todo and not confirm(todo, yes=yes)):
            done = RebuildResult(
                refund_pending=found.refund_pending, refund_incomplete=found.refund_incomplete
            )
        else:
            with show_progress("restoring", json=json or not todo) as tell:
                done = rebuilder.restore(found, on_progress=tell)
    _tell(found, done, json=json)
    if done.changed or (not dry_run and (found.kept or found.not_listed)):
        raise typer.Exit(1)


def _todo(found: LedgerComparison) -> Iterator[str]:
    wrong = len(found.differing) - len(found.kept)
    if found.grants:
        yield f"restore {format_count(len(found.grants), 'grant')}"
    if wrong:
        yield f"write Polar's amount over {wrong} of the ledger's"


def _print(found: LedgerComparison) -> None:
    if found.missing:
        print_table(["missing", "grants", "credits", "taken back"], list(_sums(found.grants)))
    if found.differing:
        rows: list[list[Cell]] = [
            [
                one.grant.key,
                _amount(one.grant),
                _amount(one.ledger),
                one.kept_because or "gets Polar's amount",
            ]
            for one in found.differing
        ]
        print_first(["key", "Polar has, for good", "the ledger has", "and"], rows)
    if found.invalid:
        print_first(["event", "key", "not ours"], [[one.event_id, one.key, one.why] for one in found.invalid])
    print_table(["events", ""], [[str(count), words] for count, words in _counts(found)])


def _sums(grants: Sequence[Grant]) -> Iterator[list[Cell]]:
    for meter in sorted({one.meter for one in grants}):
        units = [one.units for one in grants if one.meter == meter]
        given = sum((one for one in units if one > 0), Decimal(0))
        yield [meter, str(len(units)), plain(given), plain(given - sum(units))]


def _counts(found: LedgerComparison) -> Iterator[tuple[int, str]]:
    yield found.read, "read that say they are ours"
    yield len(found.grants), "missing in the ledger"
    for count, words in (
        (found.matching, "stand in the ledger"),
        (found.claimed_elsewhere, "are claimed in the ledger, not settled: left to their deliveries"),
        (len(found.differing) - len(found.kept), "differ from the ledger: it gets Polar's amount"),
        (len(found.kept), "differ from the ledger: left as they are"),
        (len(found.invalid), "are not ours, though they say so: passed over"),
    ):
        if count:
            yield count, words


def _amount(grant: Grant | None) -> str:
    return plain(grant.units) if grant else "nothing on this meter"


def _tell(found: LedgerComparison, done: RebuildResult, *, json: bool) -> None:
    if json:
        print_json(_json(found, done))
    else:
        for count, words in ((done.grants, "restored"), (done.corrected, "corrected")):
            if count:
                console().print(f"{format_count(count, 'grant')} {words}")
    for words in (*_advice(found, done), *_by_hand(found)):
        console(stderr=True).print(literal(words))


def _advice(found: LedgerComparison, done: RebuildResult) -> Iterator[str]:
    if found.not_listed:
        yield f"Polar counts {found.total} events and showed {found.listed} of them: run it again"
    if done.changed:
        facts = format_count(len(done.changed), "fact")
        yield f"{facts} changed while the events were read, and may lack something: run it again"
    if done.refund_pending:
        orders = format_count(len(done.refund_pending), "order")
        yield (
            f"refunds of {orders} came before this rebuild and have taken nothing yet: "
            "run credits replay --skipped --type order.refunded"
        )
    if done.refund_incomplete:
        orders = ", ".join(order_of(fact) or fact for fact in done.refund_incomplete)
        yield (
            f"the last refund took less than its share of what Polar gave: {orders}; of a full refund, "
            "credits revoke ORDER takes the rest"
        )


def _by_hand(found: LedgerComparison) -> Iterator[str]:
    if found.kept:
        yield (
            f"{len(found.kept)} left other than at Polar, and refunds go by the ledger: see to them by hand "
            "(credits grant, credits revoke), or run it again once their deliveries have ended"
        )
    for (order_id, meter), units in found.over_reversed.items():
        yield (
            f"of order {order_id} Polar has taken back {plain(units)} {meter} more than it was given: "
            "credits grant gives them back"
        )


def _json(found: LedgerComparison, done: RebuildResult) -> RebuildJson:
    return {
        "read": found.read,
        "missing": [_trace_json(one) for traces in found.missing.values() for one in traces.values()],
        "standing": found.matching,
        "claimed": found.claimed_elsewhere,
        "differing": [
            {
                "key": one.grant.key,
                "polar": json_number(plain(one.grant.units)),
                "ledger": json_number(plain(one.ledger.units)) if one.ledger else None,
                "left": one.kept_because or None,
            }
            for one in found.differing
        ],
        "over_reversed": [
            {"order_id": order_id, "meter": meter, "credits": json_number(plain(units))}
            for (order_id, meter), units in found.over_reversed.items()
        ],
        "not_ours": [{"event": one.event_id, "key": one.key, "reason": one.why} for one in found.invalid],
        "not_listed": found.not_listed,
        "restored": done.grants,
        "corrected": done.corrected,
        "changed": done.changed,
        "refund_pending": done.refund_pending,
        "refund_incomplete": done.refund_incomplete,
    }


def _trace_json(one: RecordedGrant) -> TraceJson:
    grant = one.grant
    return {
        "key": grant.key,
        "customer_id": grant.customer_id,
        "meter": grant.meter,
        "credits": json_number(plain(grant.units)),
        "order_id": grant.order_id,
        "rules": list(grant.rules),
        "granted_at": iso(one.at),
    }
