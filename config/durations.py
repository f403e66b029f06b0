"""Parses durations as operators write them (``30d``, ``24h``, ``90s``), and formats them for people."""

import re
from datetime import timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
LONGEST_INTERVAL = timedelta(days=30)
"""The longest interval at which something may be set to run."""

_LONGEST = timedelta(days=3650)  # a longer duration is a typing error, and could overflow a timestamp


def parse_duration(text: str) -> timedelta:
    """Return the positive duration that ``text`` states; raise ValueError with a message for users."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", text.strip(), re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a number and s, m, h, d or w, as in 24h")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than {_LONGEST.days} days")
    return timedelta(seconds=seconds)


def format_duration(span: timedelta) -> str:
    """Return a duration in its largest suitable unit: ``26 s``, ``3 min``, ``2 d``."""
    seconds = max(0, round(span.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
