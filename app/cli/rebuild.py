"""``credits rebuild``: restore the ledger from Polar after Redis lost it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import click

from app.cli.options import dry_run_option, json_option, parse_time, yes_option
from app.cli.output import (
    Cell,
    console,
    literal,
    print_first,
    print_json,
    print_table,
    streamed,
)
from app.cli.progress import show_progress, show_wait
from app.cli.prompts import confirm
from app.cli.repair_shapes import RebuildJson, RecordedGrantJson
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.cli.to_json import iso, json_number
from app.errors import CommandError
from config.rules import load_rules
from config.wording import format_count
from workers.core.grants import Grant, order_of
from workers.core.recorded_grants import RecordedGrant
from workers.core.wording import credits_text, plain
from workers.operations.pacing import Pacer
from workers.operations.rebuild.comparison import LedgerComparison
from workers.operations.rebuild.lost_ledger import is_ledger_lost
from workers.operations.rebuild.run import Rebuilder, RebuildResult
from workers.runtime.polar import polar_for
from workers.store.restorations import RestorationStore


@click.command("rebuild")
@click.option(
    "--since",
    type=parse_time,
    metavar="WHEN",
    help="Only events since WHEN: 36h, or a time. For a backup that lacks only those.",
)
@dry_run_option
@yes_option
@json_option
def rebuild(*, since: datetime | None, dry_run: bool, yes: bool, json: bool) -> None:
    """Restore the ledger from the events at Polar.

    For a Redis that was lost or restored from a backup. Stop the workers first, and the reconciler with
    them. Polar keeps every credit that was granted or taken back, with its key; each becomes an entry of the
    ledger again, with its amount. Nothing is sent to Polar. Entries that the ledger still has are kept; if
    Polar has a different amount for one, both are listed and the ledger takes Polar's. Afterwards start the
    workers, then run credits backfill for orders that were never granted.

    It finishes when it has as many events as Polar counts, or says how many are missing. --since reads only
    the newest events. It is right after a backup from before WHEN was restored, and wrong after Redis came
    back empty.

    Example: credits rebuild --dry-run
    """
    settings = read_settings("rebuild")
    rules = load_rules(settings.rules_path)
    with closing(polar_for(settings)) as polar, open_stores(settings) as held:
        pacer = Pacer(throttle=held.throttle, show_wait=show_wait)
        rebuilder = Rebuilder(
            store=RestorationStore(held.redis), ledger=held.ledger, polar=polar, pacer=pacer
        )
        if since and is_ledger_lost(held.ledger, polar, pacer, now=since):
            raise CommandError("the ledger lacks older credits too: run credits rebuild without --since")
        with show_progress("reading events", json=json) as update:
            found = rebuilder.compare(rules, since=since, now=datetime.now(UTC), on_progress=update)
        if not json:
            _print_comparison(found)
        action = " and ".join(_describe_changes(found))
        if not (action or json):
            console().print("nothing to restore")
        if dry_run or (action and not confirm(action, yes=yes)):
            done = RebuildResult(
                refund_pending=found.refund_pending, refund_incomplete=found.refund_incomplete
            )
        else:
            with show_progress("restoring", json=json or not action) as update:
                done = rebuilder.restore(found, since=since, on_progress=update)
    _print_result(found, done, json=json)
    is_incomplete = found.not_listed or found.is_growing
    if done.changed or is_incomplete or (not dry_run and found.kept):
        raise click.exceptions.Exit(1)


def _describe_changes(found: LedgerComparison) -> Iterator[str]:
    corrections = len(found.differing) - len(found.kept)
    if found.missing:
        yield f"restore {format_count(found.missing_count, 'grant')}: {credits_text(found.grants())}"
    if corrections:
        yield f"replace {format_count(corrections, 'amount')} in the ledger with Polar's"


def _print_comparison(found: LedgerComparison) -> None:
    if found.missing:
        print_table(["meter", "missing grants", "credits", "taken back"], list(_sums(found.grants())))
    if found.differing:
        rows: list[list[Cell]] = [
            [
                one.grant.key,
                _amount(one.grant),
                _amount(one.ledger),
                one.kept_because or "take Polar's amount",
            ]
            for one in found.differing
        ]
        print_first(["key", "amount at Polar", "amount in the ledger", "rebuild would"], rows)
    if found.invalid:
        print_first(
            ["event", "key", "ignored because"], [[one.event_id, one.key, one.why] for one in found.invalid]
        )
    print_table(["events", ""], [[str(count), label] for count, label in _counts(found)])


def _sums(grants: Iterable[Grant]) -> Iterator[list[Cell]]:
    counts, given, taken = (
        Counter[str](),
        defaultdict[str, Decimal](Decimal),
        defaultdict[str, Decimal](Decimal),
    )
    for one in grants:
        counts[one.meter] += 1
        (given if one.units > 0 else taken)[one.meter] += abs(one.units)
    for meter, number in sorted(counts.items()):
        yield [meter, str(number), plain(given[meter]), plain(taken[meter])]


def _counts(found: LedgerComparison) -> Iterator[tuple[int, str]]:
    yield found.read, "read that name credit-granter"
    yield found.missing_count, "missing from the ledger"
    for count, label in (
        (found.matching, "already in the ledger"),
        (len(found.claimed), "claimed in the ledger, not settled: a rebuild settles them"),
        (
            len(found.differing) - len(found.kept),
            "with a different amount in the ledger, which takes Polar's",
        ),
        (len(found.kept), "with a different amount in the ledger, which keeps its own"),
        (len(found.invalid), "ignored: not sent by this service, though they claim to be"),
    ):
        if count:
            yield count, label


def _amount(grant: Grant | None) -> str:
    return plain(grant.units) if grant else "nothing on this meter"


def _print_result(found: LedgerComparison, done: RebuildResult, *, json: bool) -> None:
    if json:
        print_json(_json(found, done))
    else:
        for count, verb in ((done.grants, "restored"), (done.corrected, "corrected")):
            if count:
                console().print(f"{format_count(count, 'grant')} {verb}")
    for text in (*_advice(found, done), *_manual_fixes(found)):
        console(stderr=True).print(literal(text))


def _advice(found: LedgerComparison, done: RebuildResult) -> Iterator[str]:
    if found.not_listed:
        moments = ", ".join(f"{count} of {iso(moment)}" for moment, count in sorted(found.gaps.items()))
        yield (
            f"Polar counts {format_count(found.total, 'event')} but does not list {found.not_listed} of them"
            f"{f' ({moments})' if moments else ''}: run the command again before you start the workers"
        )
    if found.is_growing:
        yield "Polar still receives events from this service: stop the workers and run the command again"
    if done.changed:
        facts = format_count(len(done.changed), "fact")
        yield f"{facts} changed while the events were read and may be incomplete: run the command again"
    if done.refund_pending:
        orders = format_count(len(done.refund_pending), "order")
        yield (
            f"refunds of {orders} arrived before this rebuild and have taken nothing back yet: "
            "the workers do so after a complete rebuild"
        )
    if done.refund_incomplete:
        orders = ", ".join(order_of(fact) or fact for fact in done.refund_incomplete)
        yield (
            f"the last refund took back less than its share of what Polar has: {orders}; after a full "
            "refund, credits revoke ORDER takes back the rest"
        )


def _manual_fixes(found: LedgerComparison) -> Iterator[str]:
    if found.kept:
        yield (
            f"the ledger keeps {format_count(len(found.kept), 'amount')} where Polar has another, and "
            "refunds use the ledger's: fix this by hand (credits grant, credits revoke), "
            "or run the command again once their deliveries are settled"
        )
    for (order_id, meter), units in found.over_reversed.items():
        yield (
            f"order {order_id}: {plain(units)} {meter} more was taken back at Polar than was granted; "
            "credits grant gives it back"
        )


def _json(found: LedgerComparison, done: RebuildResult) -> RebuildJson:
    return {
        "read": found.read,
        "missing": streamed(map(_recorded_json, found.recorded())),
        "matching": found.matching,
        "claimed": len(found.claimed),
        "differing": [
            {
                "key": one.grant.key,
                "polar": json_number(plain(one.grant.units)),
                "ledger": json_number(plain(one.ledger.units)) if one.ledger else None,
                "kept_because": one.kept_because or None,
            }
            for one in found.differing
        ],
        "over_reversed": [
            {"order_id": order_id, "meter": meter, "credits": json_number(plain(units))}
            for (order_id, meter), units in found.over_reversed.items()
        ],
        "not_ours": [{"event": one.event_id, "key": one.key, "reason": one.why} for one in found.invalid],
        "not_listed": found.not_listed,
        "gaps": [{"at": iso(at), "events": count} for at, count in sorted(found.gaps.items())],
        "restored": done.grants,
        "corrected": done.corrected,
        "changed": done.changed,
        "refund_pending": done.refund_pending,
        "refund_incomplete": done.refund_incomplete,
    }


def _recorded_json(one: RecordedGrant) -> RecordedGrantJson:
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
