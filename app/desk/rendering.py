"""Renders the pages: Jinja templates, every value escaped."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from app.desk.assets import Assets
from config.durations import format_duration
from config.wording import format_count
from workers.core.wording import plain

_SHORT = 13  # characters; such an id stays whole
_MINUS = "\N{MINUS SIGN}"


class Renderer:
    """Renders templates of ``app/desk/templates``."""

    def __init__(self, assets: Assets) -> None:
        self._templates = Environment(
            loader=PackageLoader("app.desk"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= {
            "age": format_age,
            "count": format_count,
            "iso": lambda moment: moment.astimezone(UTC).isoformat(timespec="seconds"),
            "number": format_number,
            "query": _query,
            "short": shorten_id,
            "utc": format_utc,
        }
        self._templates.globals["asset"] = assets.url

    def render(self, template: str, **values: Any) -> str:
        """Return a page."""
        return self._templates.get_template(template).render(values)


def format_number(value: Decimal | float) -> str:
    """Return a number with thousands separated: ``12,500`` or ``0.25``; a minus is a real one."""
    amount = value if isinstance(value, Decimal) else Decimal(repr(value))
    whole, point, rest = plain(abs(amount)).partition(".")
    return f"{_MINUS if amount < 0 else ''}{int(whole):,}{point}{rest}"


def format_utc(moment: datetime) -> str:
    """Return a time in UTC for people, to the second: ``2026-11-29 14:02:11``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def format_age(moment: datetime) -> str:
    """Return how long ago or how far ahead a moment is: ``3 min ago``, ``in 2 h``."""
    ago = datetime.now(UTC) - moment
    return f"{format_duration(ago)} ago" if ago.total_seconds() >= 0 else f"in {format_duration(-ago)}"


def shorten_id(id_: str) -> str:
    """Return the beginning of an id, as far as people compare it."""
    return id_ if len(id_) <= _SHORT else f"{id_[:8]}\N{HORIZONTAL ELLIPSIS}"


def _query(fields: dict[str, object]) -> str:
    """Return a query string of the fields that are set."""
    return urlencode({name: str(value) for name, value in fields.items() if value not in (None, "")})
