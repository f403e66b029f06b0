"""What commands share that run deliveries: they ask first, show how far they are, tell what came of it."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

import typer
from rich.progress import Progress

from app.cli.output import Cell, console, literal, print_json, print_table, status_text
from app.cli.shapes import OutcomeJson
from config.durations import parse_duration
from config.wording import quoted
from workers.core.delivery import Outcome, Status
from workers.errors import PolarDeniedError, PolarError

MOST_SHOWN = 50  # rows of one kind: who has more reads them with --json


def moment(text: str) -> datetime:
    """Return the moment that an option names: so long ago, or a time with its zone."""
    try:
        return datetime.now(UTC) - parse_duration(text)
    except ValueError as error:
        try:
            named = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{error}, or a time as in 2026-11-01T00:00:00Z") from None
    if named.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is in no time zone; write it as in 2026-11-01T00:00:00Z")
    return named


def customers_id(text: str) -> str:
    """Return the id of a customer that an option names."""
    return _uuid_of(text, "customer's id at Polar, such as 99130a7b-29f6-...")


def orders_id(text: str) -> str:
    """Return the id of an order that an option or argument names."""
    return _uuid_of(text, "order's id, such as 2a9bd3c2-84d9-...")


def _uuid_of(text: str, what: str) -> str:
    try:
        return str(UUID(text.strip()))
    except ValueError:
        raise typer.BadParameter(f"{quoted(text)} is no {what}") from None


def agreed(what: str, *, yes: bool) -> bool:
    """Ask whether ``what`` is to be done, unless it was said beforehand; a script has to say it."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"this would {what}; say --yes (or --dry-run)")
    return typer.confirm(f"{what[0].upper()}{what[1:]}?", err=True)


@cache
def notify(words: str) -> None:
    """Say something once. Written to ``sys.stderr`` as it is at that moment: a progress bar replaces it."""
    sys.stderr.write(f"{literal(words)}\n")


def counted(count: int, what: str) -> str:
    """Return so many of something, as people say it."""
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count} {what if count == 1 else many}"


@contextmanager
def progress(what: str, *, json: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal while the block runs; yields what is told (how many, of how many) are done."""
    is_shown = sys.stderr.isatty() and not json
    with Progress(console=console(stderr=True), disable=not is_shown, transient=True) as bars:
        task = bars.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            bars.update(task, completed=done, total=max(done, total))

        yield tell
        whole = bars.tasks[task].total or 1
        bars.update(task, completed=whole, total=whole)


def run_all(batches: Iterable[list[Outcome]], count: int, *, json: bool) -> tuple[list[Outcome], str]:
    """Run all batches of ``count`` deliveries; return what became of them, and what kept us from the rest."""
    outcomes: list[Outcome] = []
    try:
        with progress("granting", json=json or not count) as tell:
            tell(0, count)
            for batch in batches:
                outcomes += batch
                tell(len(outcomes), count)
    except PolarError as error:
        return outcomes, _left_words(outcomes, count, advised(error))
    return outcomes, ""


def _left_words(outcomes: Sequence[Outcome], count: int, why: str) -> str:
    """Say how many are not done; what waits is run by workers when they can, and the rest is not begun."""
    waiting = sum(one.status is Status.WAITING for one in outcomes)
    left = count - len(outcomes) + waiting
    how = "run it again to go on" if left > waiting else "workers go on with it, or run it again"
    return f"{left} not done: {why.rstrip('.')}; {how}"


def advised(error: PolarError) -> str:
    """Return what went wrong, and who knows more of a token, a scope or an address that is wrong."""
    if isinstance(error, PolarDeniedError):
        return f"{str(error).rstrip('.')}; `credits check` says what to do"
    return str(error)


def print_outcomes(outcomes: Sequence[Outcome], trouble: str, *, json: bool = False) -> None:
    """Say what became of each; of very many people see only those that were not granted."""
    if json:
        print_json([outcome_json(one) for one in outcomes])
    else:
        _print_outcomes(outcomes)
    if trouble:
        console(stderr=True).print(literal(trouble))


def _print_outcomes(outcomes: Sequence[Outcome]) -> None:
    told = outcomes
    if len(outcomes) > MOST_SHOWN:
        counts = Counter(one.status.value for one in outcomes)
        console().print(", ".join(f"{count} {status}" for status, count in counts.items()))
        told = [one for one in outcomes if one.status is not Status.GRANTED]
    if told:
        rows: list[list[Cell]] = [
            [one.delivery_id, status_text(one.status), one.order_id or "-", one.reason] for one in told
        ]
        print_some(["delivery", "became", "order", "reason"], rows)


def print_some(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print a table, and how many rows of it are left out."""
    print_table(columns, rows[:MOST_SHOWN])
    if len(rows) > MOST_SHOWN:
        console().print(f"... and {len(rows) - MOST_SHOWN} more: --json has all")


def outcome_json(one: Outcome) -> OutcomeJson:
    """Return what became of a delivery for machines."""
    return {
        "id": one.delivery_id,
        "status": one.status,
        "reason": one.reason,
        "order_id": one.order_id or None,
        "customer_id": one.customer_id or None,
    }


def is_unfinished(outcomes: Sequence[Outcome]) -> bool:
    """Say whether some failed or still wait."""
    return any(one.status in {Status.FAILED, Status.WAITING} for one in outcomes)
