"""Configures logging: structlog for us and for libraries, one line for each event, for people or machines.

Text from outside stays within its line and cannot send control sequences to a terminal. E-mail addresses are
replaced by ``...``: they occur in the keys of manual grants and in Polar's answers.
"""

import json
import logging
import re
import sys
from collections.abc import Sequence
from io import StringIO
from typing import Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from workers.monitoring.lines import Lines

# What they log as info is debugging to us: RQ logs every job. uvicorn warns about each bad request, which
# app.receiver.refusal_log reports in a few lines.
_LIBRARIES = dict.fromkeys(("rq.worker", "rq.job", "rq.scheduler"), "WARNING")
_LIBRARIES["uvicorn.error"] = "ERROR"

# They log the URL of every request, and some URLs contain e-mail addresses.
_ALWAYS_QUIET = ("httpx", "httpcore")

# They come first, so that a journal shows them even where it cuts the line.
_FIRST = dict.fromkeys(("timestamp", "level", "event"))

_PLAIN = frozenset({str, int, float, bool})
_encode = msgspec.json.Encoder().encode
# The encoder escapes only what JSON requires. Other characters could send control sequences, or end a line.
_NOT_PRINTABLE_ASCII = re.compile("[^ -~]")
_DELETE = "\x7f"

# An address ends at these characters, so that the parts of a key around it stay readable.
_LETTER = r"""[^\s@:;,/()<>\[\]{}"'=]"""
_ADDRESS = re.compile(f"(?<!{_LETTER}){_LETTER}++@{_LETTER}++")  # takes linear time


def configure_logging(log_format: Literal["console", "json"] | None, level: str, *, process: str) -> None:
    """Log to standard error; without a format, for people on a terminal and as JSON elsewhere."""
    pretty = log_format == "console" if log_format else sys.stderr.isatty()

    def add_process(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    shared: list[Processor] = [
        add_process,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _in_order,
    ]
    rendering = _rendering(pretty=pretty)
    # Our own lines bypass the logging module: that halves the cost of a line for each webhook.
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=Lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[without_meta, *rendering])
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, usual in _LIBRARIES.items():
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else usual)
    for name in _ALWAYS_QUIET:
        logging.getLogger(name).setLevel("WARNING")


def _rendering(*, pretty: bool) -> Sequence[Processor]:
    if pretty:
        return [
            _without_addresses,
            _escape_values,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback),
        ]
    return [_as_json]


def _in_order(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Put what is always there first, and leave out fields that are None."""
    return {name: value for name, value in {**_FIRST, **event}.items() if value is not None}


def _as_json(logger: object, method: str, event: EventDict) -> str:
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, method, event)
    line = _object(event)
    # Searching every value costs more than writing the line, and almost no line contains an address.
    return _object(_without_addresses(logger, method, event)) if "@" in line else line


def _object(event: EventDict) -> str:
    """Return an event as JSON in printable ASCII."""
    event = {name: one if type(one) in _PLAIN else _as_plain(one) for name, one in event.items()}
    try:
        line = _encode(event).decode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(event)
    is_printable = line.isascii() and _DELETE not in line
    return line if is_printable else _NOT_PRINTABLE_ASCII.sub(_as_escape, line)


def _as_plain(value: object) -> object:
    """Return what JSON has for a value: its description, where msgspec would write fields that it hides."""
    if isinstance(value, list | tuple):
        return [one if type(one) in _PLAIN else _as_plain(one) for one in value]
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return {str(key): _as_plain(one) for key, one in value.items()}
    if isinstance(value, str):
        return str(value)
    return int(value) if isinstance(value, int) else repr(value)


def _as_escape(found: re.Match[str]) -> str:
    """Return a character of a JSON text as JSON escapes it."""
    return json.dumps(found[0])[1:-1]


def _without_addresses(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: mask_addresses(value) for name, value in event.items()}


def mask_addresses(value: object) -> object:
    """Return a text, or a list of texts, with ``...`` in place of each e-mail address."""
    if isinstance(value, str):
        return _ADDRESS.sub("...", value) if "@" in value else value
    return [mask_addresses(one) for one in value] if isinstance(value, list) else value


def _escape_values(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape control characters in every value, before the renderer adds its own for colours."""
    return {name: value if name == "exc_info" else _escape_value(value) for name, value in event.items()}


def _escape_value(value: object) -> object:
    if isinstance(value, str):
        return _escaped(value)
    text = repr(value)  # as the renderer shows it
    return value if text.isprintable() else _escaped(text)


def _escaped(text: str) -> str:
    """Return ``text`` with unprintable characters as Python escapes."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _write_traceback(out: TextIO, error: ExcInfo) -> None:
    """Write a plain traceback, because the rich one shows local variables; indented, unlike event lines."""
    written = StringIO()
    structlog.dev.plain_traceback(written, error)
    lines = _ADDRESS.sub("...", written.getvalue()).split("\n")
    out.write("\n".join(f"    {_escaped(line)}" for line in lines))
