"""The overview: is all well, and what happened in the last 30 days."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from app.desk.charts import (
    Chart,
    Series,
    format_percent,
    format_seconds,
    mirrored_chart,
    quantile,
    range_chart,
    ratio_chart,
    stacked_chart,
)
from app.desk.page import Shown, Visit
from app.desk.rendering import format_number
from workers.core.delivery import Status
from workers.operations.status import read_state
from workers.store.clock import redis_now
from workers.store.days import Day, read_days

_DAYS = 30
_MOST_METERS = 6  # charts; each meter has one

# Where an operator goes from a failing check: a page of the desk, or a command.
_PAGES = {
    "failed": ("deliveries?status=failed", "See what failed"),
    "waiting": ("deliveries?status=waiting", "See what waits"),
    "rules": ("rules", "See the rules"),
}
_COMMANDS = {
    "amounts": "credits rebuild --dry-run",
    "clock": "credits check",
    "endpoint": "credits check",
    "ledger": "credits rebuild --dry-run",
    "polar": "credits check",
    "redis": "credits check",
    "webhooks": "credits check",
    "workers": "credits work",
}
_TITLES = {"amounts": "Amounts", "failed": "Deliveries", "polar": "Polar", "redis": "Redis"}


class Tile(Struct, frozen=True, kw_only=True):
    """One check: whether it passed, what it found, and where to go if it did not pass."""

    name: str
    title: str
    ok: bool
    detail: str
    page: tuple[str, str] | None = None
    """Where to go: its URL, and its name."""
    command: str = ""


class OverviewPage(Struct, frozen=True, kw_only=True):
    """What the overview shows."""

    failing: int
    tiles: Sequence[Tile]
    counts: Mapping[Status, int]
    grants: int
    last_received: datetime | None
    charts: Sequence[Chart]
    hidden_meters: int


def gather(visit: Visit) -> Shown:
    """Gather the overview."""
    stores = visit.parts.stores
    state = read_state(stores)
    days = read_days(stores.redis, redis_now(stores.redis), _DAYS)
    tiles = [_tile(one.name, one.detail, ok=one.ok) for one in state.all_checks]
    meters = sorted({meter for day in days for meter in (*day.granted, *day.taken_back)})
    page = OverviewPage(
        failing=sum(not tile.ok for tile in tiles),
        tiles=sorted(tiles, key=lambda tile: tile.ok),
        counts=state.counts,
        grants=state.grants,
        last_received=state.last_received,
        charts=[*_meter_charts(days, meters[:_MOST_METERS]), *_service_charts(days)],
        hidden_meters=max(0, len(meters) - _MOST_METERS),
    )
    return Shown(template="overview.html", title="Overview", section="overview", model=page)


def _tile(name: str, detail: str, *, ok: bool) -> Tile:
    title = _TITLES.get(name, name.capitalize())
    if ok:
        return Tile(name=name, title=title, ok=True, detail=detail)
    page, command = _PAGES.get(name), _COMMANDS.get(name, "")
    return Tile(name=name, title=title, ok=False, detail=detail, page=page, command=command)


def _meter_charts(days: Sequence[Day], meters: Sequence[str]) -> Iterator[Chart]:
    dates = [day.date for day in days]
    for meter in meters:
        granted = [day.granted.get(meter, 0.0) for day in days]
        taken = [day.taken_back.get(meter, 0.0) for day in days]
        yield mirrored_chart(
            meter,
            f"{format_number(sum(granted))} granted, {format_number(sum(taken))} taken back",
            dates,
            Series(kind="good", name="granted", values=granted),
            Series(kind="bad", name="taken back", values=taken),
        )


def _service_charts(days: Sequence[Day]) -> Iterator[Chart]:
    dates = [day.date for day in days]
    kinds = {Status.GRANTED: "good", Status.SKIPPED: "calm", Status.FAILED: "bad"}
    outcomes = [
        Series(kind=kind, name=status.value, values=[day.outcomes.get(status.value, 0.0) for day in days])
        for status, kind in kinds.items()
    ]
    sums = ", ".join(f"{format_number(sum(one.values))} {one.name}" for one in outcomes)
    yield stacked_chart("Webhooks by outcome", sums, dates, outcomes)
    medians = [quantile(day.waits, 0.5) for day in days]
    slowest = [quantile(day.waits, 0.95) for day in days]
    yield range_chart("From webhook to credit", _wait_text(days), dates, medians, slowest)
    used = [day.most_used for day in days]
    yield ratio_chart(
        "Polar's rate limit",
        f"at most {format_percent(max(used))} of our share in use at once",
        dates,
        Series(kind="calm", name="most in use at once", values=used),
    )


def _wait_text(days: Sequence[Day]) -> str:
    waits: dict[str, float] = {}
    for day in days:
        for bound, count in day.waits.items():
            waits[bound] = waits.get(bound, 0.0) + count
    median, slow = quantile(waits, 0.5), quantile(waits, 0.95)
    if median is None or slow is None:
        return "nothing was credited"
    return f"median {format_seconds(median)}, 95 % within {format_seconds(slow)}"
