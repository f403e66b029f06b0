"""Runs deliveries in batches for a command: shows the progress, then what became of each."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from app.cli.output import Cell, console, literal, print_first, print_json, status_text, streamed
from app.cli.progress import show_progress
from app.cli.shapes import OutcomeJson
from app.cli.to_json import iso
from workers.core.delivery import Outcome, Status
from workers.core.take_back_delivery import is_take_back_delivery
from workers.errors import PolarDeniedError, PolarError
from workers.operations.spool import Spool, SpooledList

Outcomes = Collection[Outcome]
"""What became of deliveries; there may be more than fit into memory."""

_MOST_LISTED = 50  # with more outcomes, those that were granted are only counted


def run_with_progress(batches: Iterable[list[Outcome]], count: int, *, json: bool) -> tuple[Outcomes, str]:
    """Run all batches of ``count`` deliveries; return the outcomes, and why some deliveries were not run."""
    outcomes: SpooledList[Outcome] = Spool().list(Outcome)
    try:
        with show_progress("granting", json=json or not count) as update:
            update(0, count)
            for batch in batches:
                for one in batch:
                    outcomes.append(one)
                update(len(outcomes), count)
    except PolarError as error:
        return outcomes, _describe_rest(outcomes, count, describe_error(error))
    return outcomes, ""


def _describe_rest(outcomes: Outcomes, count: int, reason: str) -> str:
    """Return how many deliveries are not done, why, and what happens to them.

    Workers retry those that wait. Those that were not begun stay as they were.
    """
    # Take-backs follow the orders that were asked for: they are not counted.
    counted = Counter(one.status for one in outcomes if not is_take_back_delivery(one.delivery_id))
    waiting = counted[Status.WAITING]
    left = count - counted.total() + waiting
    advice = "run the command again" if left > waiting else "the workers will retry, or run the command again"
    return f"{left} not done: {reason.rstrip('.')}; {advice}"


def describe_error(error: PolarError) -> str:
    """Return what went wrong; where Polar refuses the token, also which command names the cause."""
    if isinstance(error, PolarDeniedError):
        return f"{str(error).rstrip('.')}; `credits check` says what to do"
    return str(error)


def print_not_listed(rows: str, moments: Sequence[datetime]) -> None:
    """Print to standard error how many rows of a list Polar does not show, and from when they are."""
    between = f" (from {iso(min(moments))} to {iso(max(moments))})" if moments else ""
    text = f"Polar counts {rows} more than it lists{between}: run the command again"
    console(stderr=True).print(literal(text))


def print_outcomes(outcomes: Outcomes, trouble: str, *, json: bool = False) -> None:
    """Print what became of each delivery, and ``trouble`` to standard error."""
    if json:
        print_json(streamed(map(outcome_json, outcomes)))
    else:
        _print_outcomes(outcomes)
    if trouble:
        console(stderr=True).print(literal(trouble))


def _print_outcomes(outcomes: Outcomes) -> None:
    are_many = len(outcomes) > _MOST_LISTED
    if are_many:
        counts = Counter(one.status.value for one in outcomes)
        console().print(", ".join(f"{count} {status}" for status, count in counts.items()))
    rows: Iterator[list[Cell]] = (
        [one.delivery_id, status_text(one.status), one.order_id or "-", one.reason]
        for one in outcomes
        if one.status is not Status.GRANTED or not are_many
    )
    print_first(["delivery", "status", "order", "reason"], rows)


def outcome_json(one: Outcome) -> OutcomeJson:
    """Return the JSON of an outcome."""
    return {
        "id": one.delivery_id,
        "status": one.status,
        "reason": one.reason,
        "order_id": one.order_id or None,
        "customer_id": one.customer_id or None,
    }


def has_unfinished(outcomes: Outcomes) -> bool:
    """Return whether a delivery failed or still waits."""
    return any(one.status in {Status.FAILED, Status.WAITING} for one in outcomes)
