"""Decides which alerts are due, and writes their texts. ``workers.monitoring.alerter`` sends them."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from config.wording import joined

# A few retries and a pause fit into this; a delivery that waits longer needs a person.
LONGEST_WAIT = timedelta(minutes=5)

_MOST_CHARACTERS = 200  # of a reason; every chat accepts three of them
_MOST_ALONE = 600  # of a reason that is the only one, and says what to do at its end


class AlertKind(StrEnum):
    """What an alert reports."""

    FAILED = "failed"
    """Deliveries failed since the last alert of this kind."""
    MISMATCH = "mismatch"
    """Grants turned out to have other amounts at Polar since the last alert of this kind."""
    STUCK = "stuck"
    """Deliveries have been waiting too long while nothing is credited."""
    POLAR = "polar"
    """Polar has accepted nothing for too long: it is down, or it refuses the token."""
    LEDGER = "ledger"
    """Redis has lost entries of the ledger."""
    WEBHOOKS = "webhooks"
    """Every webhook that looks like Polar's has been refused for a while."""
    ENDPOINT = "endpoint"
    """The webhook endpoint at Polar is disabled, or does not send what is needed."""
    EVENTS = "events"
    """The storefront has taken no credit events for an hour."""
    REDIS = "redis"
    """Redis is away or takes no writes, so nothing is stored or granted."""
    WELL = "well"
    """A lasting problem, one that is not ``failed`` or ``mismatch``, is over."""


# They are reported when they have lasted, and one at a time: Polar being away explains the other.
_SLOW_KINDS = frozenset({AlertKind.STUCK, AlertKind.POLAR})


class AlertState(Struct, frozen=True, kw_only=True):
    """The situation of all workers together, and what was reported of it.

    ``failed_ever`` counts every delivery that ever failed, ``failed_reported`` those already reported. So do
    ``mismatched_ever`` and ``mismatched_reported`` with grants that have other amounts at Polar.
    Since ``steady_since`` workers have checked without a gap, and Polar has been up, or down, all the time.
    For LONGEST_WAIT after that, no outage is reported and no delivery counts as stuck: deliveries that waited
    for an outage to end, or for workers to be started, need some time.
    ``lasting`` has the problems that are reported as soon as they are known, and what to say of each.
    """

    now: datetime
    steady_since: datetime
    failed: int = 0
    failed_ever: int = 0
    failed_reported: int = 0
    mismatched: int = 0
    mismatched_ever: int = 0
    mismatched_reported: int = 0
    waiting: int = 0
    oldest_waiting: datetime | None = None
    last_credit: datetime | None = None
    outage_since: datetime | None = None
    outage_reason: str = ""
    lasting: Mapping[AlertKind, str] = field(default_factory=dict)
    alerted: frozenset[AlertKind] = frozenset()
    muted: frozenset[AlertKind] = frozenset()

    @property
    def unreported(self) -> int:
        """Return how many of the deliveries that count as failed now were not reported yet."""
        return min(self.failed, self.failed_ever - self.failed_reported)

    @property
    def unreported_mismatches(self) -> int:
        """Return how many of the grants that have other amounts at Polar now were not reported yet."""
        return min(self.mismatched, self.mismatched_ever - self.mismatched_reported)

    def are_long_ago(self, *moments: datetime | None) -> bool:
        """Return whether each of these moments is at least LONGEST_WAIT ago; None is ignored."""
        return all(self.now - one >= LONGEST_WAIT for one in moments if one is not None)


def due_alerts(state: AlertState) -> tuple[AlertKind, ...]:
    """Return the kinds of alert to send now: each problem once, and once more when it is over."""
    kinds = [AlertKind.FAILED] if state.unreported > 0 else []
    if state.unreported_mismatches > 0:
        kinds.append(AlertKind.MISMATCH)
    kinds += [kind for kind in state.lasting if kind not in state.alerted]
    problem = _problem(state)
    if over(state):
        kinds.append(AlertKind.WELL)
    lasts = state.are_long_ago(state.steady_since, state.outage_since)
    if problem and problem not in state.alerted and lasts:
        kinds.append(problem)
    return tuple(kind for kind in kinds if kind not in state.muted)


def over(state: AlertState) -> frozenset[AlertKind]:
    """Return the reported problems that are over: being stuck is while Polar is away, but not told then."""
    ended = state.alerted - set(state.lasting)
    return ended - _SLOW_KINDS if _problem(state) else ended


def _problem(state: AlertState) -> AlertKind | None:
    if state.outage_since is not None:
        return AlertKind.POLAR
    # A long queue is no problem while credits flow: after an outage it takes time to drain.
    waits = state.oldest_waiting is not None
    return AlertKind.STUCK if waits and state.are_long_ago(state.oldest_waiting, state.last_credit) else None


def alert_body(kind: AlertKind, state: AlertState, reasons: Sequence[str]) -> Mapping[str, Any]:
    """Return the JSON to post: Slack shows ``text``, Discord ``content``; programs read the other fields."""
    shown = [_shown(reason) for reason in reasons]
    event, advice = _texts(kind, state)
    summary = ": ".join([event, "; ".join(shown)] if shown else [event]).rstrip(".")
    return {
        **_base(kind, f"{summary}. {advice}".strip()),
        "failed": state.failed,
        "waiting": state.waiting,
        "oldest_waiting_seconds": _seconds(state.now, state.oldest_waiting),
        "reasons": shown,
    }


def redis_alert_body(kind: AlertKind, reason: str) -> Mapping[str, Any]:
    """Return the JSON to post about Redis itself: without it, nothing is known of the deliveries."""
    shown = _shown(reason, _MOST_ALONE)
    gone = f"Redis is away or takes no writes, so nothing is stored or granted: {shown.rstrip('.')}."
    text = gone if kind is AlertKind.REDIS else "Redis takes writes again. See `credits status`."
    unknown = dict.fromkeys(("failed", "waiting", "oldest_waiting_seconds"))
    return {**_base(kind, text), **unknown, "reasons": [shown] if reason else []}


def _base(kind: AlertKind, text: str) -> dict[str, Any]:
    told = f"credit-granter: {text}"
    return {"text": told, "content": told, "service": "credit-granter", "kind": kind.value}


def _texts(kind: AlertKind, state: AlertState) -> tuple[str, str]:
    """Return what has happened, and what to do."""
    wait = f"{_deliveries(state.waiting)} {'waits' if state.waiting == 1 else 'wait'}"
    match kind:
        case AlertKind.FAILED:
            event = f"{_deliveries(state.unreported)} failed, {state.failed} in all"
            return (
                event,
                "See `credits deliveries --status failed`: fix the cause and replay them, or dismiss them.",
            )
        case AlertKind.MISMATCH:
            count = state.mismatched
            event = f"{count} {'grant is' if count == 1 else 'grants are'} not the same at Polar"
            return event, "See `credits status`, then run `credits rebuild`."
        case AlertKind.STUCK:
            oldest = _minutes(state.now, state.oldest_waiting)
            return f"{wait}, the oldest for {oldest} min, and nothing is credited", "See `credits status`."
        case AlertKind.POLAR:
            away = _minutes(state.now, state.outage_since)
            return f"Polar has accepted nothing for {away} min, and {wait}", "See `credits status`."
        case AlertKind.WELL:
            return f"{_describe_end(state)}; {wait}, {state.failed} failed", ""
        case _:
            return state.lasting.get(kind, kind.value), ""


def _describe_end(state: AlertState) -> str:
    left = [*state.lasting, *filter(None, [_problem(state)])]
    if not left:
        return "well again"
    ended = joined(sorted(one.value for one in over(state)))
    return f"over: {ended}; not well yet: {joined([one.value for one in left])}"


def _deliveries(count: int) -> str:
    return f"{count} {'delivery' if count == 1 else 'deliveries'}"


def _shown(reason: str, most: int = _MOST_CHARACTERS) -> str:
    """Return a reason without e-mail addresses and without anything that a chat reads as a mention."""
    return re.sub(r"\S*@\S*", "...", reason).replace("<", "‹")[:most]  # noqa: RUF001 - it only looks like it


def _seconds(now: datetime, then: datetime | None) -> int | None:
    return None if then is None else max(0, round((now - then).total_seconds()))


def _minutes(now: datetime, then: datetime | None) -> int:
    return (_seconds(now, then) or 0) // 60
