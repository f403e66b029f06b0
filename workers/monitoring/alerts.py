"""PURE: when people are told without asking, and in what words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

# A few retries and a pause fit into this; what waits longer wants a person.
LONGEST_WAIT = timedelta(minutes=5)

_MOST_LETTERS = 200  # of a reason; three of them fit into what any chat takes


class AlertKind(StrEnum):
    """What people are told of."""

    FAILED = "failed"
    """Deliveries were parked since the last time."""
    STUCK = "stuck"
    """Deliveries wait, and nothing is credited."""
    POLAR = "polar"
    """Polar has taken nothing for too long: it is away, or refuses the token."""
    WELL = "well"
    """What was told of as stuck, or as Polar's, is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertState:
    """How things stand for all workers together, and what people know of it.

    ``parked`` counts all that ever failed, ``known`` those that people were told of; ``away_since`` is
    when an outage began.
    ``same_since`` is how long workers have looked without a gap while Polar was as it is now: after a
    night without workers, or an outage, what waits has its five minutes before it counts as stuck.
    """

    now: datetime
    steady_since: datetime
    failed: int = 0
    failed_ever: int = 0
    failed_reported: int = 0
    waiting: int = 0
    oldest_waiting: datetime | None = None
    last_credit: datetime | None = None
    outage_since: datetime | None = None
    outage_reason: str = ""
    alerted: frozenset[AlertKind] = frozenset()
    muted: frozenset[AlertKind] = frozenset()

    @property
    def unreported(self) -> int:
        """Return how many deliveries failed that nobody was told of; what was mended meanwhile is no news."""
        return min(self.failed, self.failed_ever - self.failed_reported)

    def are_long_ago(self, *moments: datetime | None) -> bool:
        """Say whether each of these moments, of those that are known, is so long ago that it is told."""
        return all(self.now - one >= LONGEST_WAIT for one in moments if one is not None)


def due_alerts(state: AlertState) -> tuple[AlertKind, ...]:
    """Return what people are to be told now: each trouble once, and when it is over."""
    kinds = [AlertKind.FAILED] if state.unreported > 0 else []
    trouble = _trouble(state)
    if trouble is None and state.alerted:
        kinds.append(AlertKind.WELL)
    if (
        trouble
        and trouble not in state.alerted
        and state.are_long_ago(state.steady_since, state.outage_since)
    ):
        kinds.append(trouble)
    return tuple(kind for kind in kinds if kind not in state.muted)


def _trouble(state: AlertState) -> AlertKind | None:
    if state.outage_since is not None:
        return AlertKind.POLAR
    # Credits that flow are no trouble, however long the queue: after an outage it takes its time.
    waits = state.oldest_waiting is not None
    return AlertKind.STUCK if waits and state.are_long_ago(state.oldest_waiting, state.last_credit) else None


def alert_body(kind: AlertKind, state: AlertState, reasons: Sequence[str]) -> Mapping[str, Any]:
    """Return what is posted: Slack shows ``text``, Discord ``content``, and programs read the rest."""
    shown = [_shown(reason) for reason in reasons]
    what, advice = _words(kind, state)
    summary = ": ".join([what, "; ".join(shown)] if shown else [what]).rstrip(".")
    words = f"credit-granter: {summary}. {advice}".strip()
    return {
        "text": words,
        "content": words,
        "service": "credit-granter",
        "kind": kind.value,
        "failed": state.failed,
        "waiting": state.waiting,
        "oldest_waiting_seconds": _seconds(state.now, state.oldest_waiting),
        "reasons": shown,
    }


def _words(kind: AlertKind, state: AlertState) -> tuple[str, str]:
    """Return what has happened and what to do."""
    wait = f"{_deliveries(state.waiting)} {'waits' if state.waiting == 1 else 'wait'}"
    match kind:
        case AlertKind.FAILED:
            what = f"{_deliveries(state.unreported)} failed, {state.failed} in all"
            return (
                what,
                "See `credits deliveries --status failed`: mend what it shows and replay it, or dismiss it.",
            )
        case AlertKind.STUCK:
            oldest = _minutes(state.now, state.oldest_waiting)
            return f"{wait}, the oldest for {oldest} min, and nothing is credited", "See `credits status`."
        case AlertKind.POLAR:
            away = _minutes(state.now, state.outage_since)
            return f"Polar has taken nothing for {away} min, and {wait}", "See `credits status`."
        case AlertKind.WELL:
            return f"well again; {wait}, {state.failed} failed", ""


def _deliveries(count: int) -> str:
    return f"{count} {'delivery' if count == 1 else 'deliveries'}"


def _shown(reason: str) -> str:
    """Return a reason without addresses, and without what a chat would take for a call to somebody."""
    return re.sub(r"\S*@\S*", "...", reason).replace("<", "‹")[:_MOST_LETTERS]  # noqa: RUF001 - it only looks like it


def _seconds(now: datetime, then: datetime | None) -> int | None:
    return None if then is None else max(0, round((now - then).total_seconds()))


def _minutes(now: datetime, then: datetime | None) -> int:
    return (_seconds(now, then) or 0) // 60
