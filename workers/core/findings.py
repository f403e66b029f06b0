"""What a check found: an error, a warning, or that all is well."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "ok"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at, and what is to be said of it."""

    level: Level
    what: str
    detail: str
