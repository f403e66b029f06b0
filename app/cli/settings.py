"""The settings of a command that prints results, and its log."""

import sys
from functools import partial

from config.log import configure_at_first_line
from config.settings import Settings, load_settings


def read_settings(process: str) -> Settings:
    """Read the settings, and configure the log as soon as there is a line.

    Such a command logs only errors, and nothing on a terminal. There the results name what failed, and a log
    line would break into them.
    """
    settings = load_settings()
    configure_at_first_line(partial(_configure, settings, process))
    return settings


def _configure(settings: Settings, process: str) -> None:
    from workers.monitoring.logs import configure_logging  # noqa: PLC0415 - it imports structlog

    level: str = settings.log_level
    if level != "debug":
        level = "critical" if sys.stderr.isatty() else "error"
    configure_logging(settings.log_format, level, process=process)
