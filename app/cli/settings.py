"""The settings of a command, and its log."""

import sys

from config.settings import ReceiverSettings, Settings, load_receiver_settings, load_settings
from workers.monitoring.logs import configure_logging


def read_settings(process: str, *, json_logs: bool = False, quiet: bool = False) -> Settings:
    """Read the settings and set up logging.

    ``quiet`` is for commands that print results: they log errors alone, and on a terminal nothing, because
    the results name what failed and a log line would break into them.
    """
    settings = load_settings()
    level: str = settings.log_level
    if quiet and level != "debug":
        level = "critical" if sys.stderr.isatty() else "error"
    configure_logging("json" if json_logs else settings.log_format, level, process=process)
    return settings


def read_receiver_settings(*, json_logs: bool) -> ReceiverSettings:
    """Read what the receiver needs and set up logging; other settings may be unusable."""
    settings = load_receiver_settings()
    log_format = "json" if json_logs else settings.log_format
    configure_logging(log_format, settings.log_level, process="receiver")
    return settings
