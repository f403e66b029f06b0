"""A command that prints results configures its log only when the first line is logged."""

import json
import subprocess
import sys

SET_UP = """
import logging, sys
from functools import partial
from config.log import configure_at_first_line, get_log

def configure():
    from workers.monitoring.logs import configure_logging
    configure_logging("json", "error", process="grants")

configure_at_first_line(configure)
log = get_log("ours")
assert "structlog" not in sys.modules
"""


def lines_of(script: str) -> list[dict[str, str]]:
    done = subprocess.run([sys.executable, "-c", SET_UP + script], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_our_own_first_line_is_logged_as_configured() -> None:
    first, second = lines_of("log.error('failed', order='1'); log.error('failed', order='2')")
    assert (first["event"], first["order"], first["process"]) == ("failed", "1", "grants")
    assert second["order"] == "2"


def test_the_first_line_of_a_library_is_logged_as_configured() -> None:
    script = "theirs = logging.getLogger('theirs'); theirs.error('no ada@example.com'); theirs.error('again')"
    first, second = lines_of(script)
    assert (first["event"], first["process"]) == ("no ...", "grants")
    assert second["event"] == "again"


def test_what_is_below_the_level_is_not_logged() -> None:
    assert lines_of("log.warning('slow'); logging.getLogger('theirs').warning('slow')") == []
    assert lines_of("logging.getLogger('theirs').warning('slow'); log.warning('slow')") == []


def test_without_a_line_nothing_is_imported() -> None:
    assert lines_of("assert 'structlog' not in sys.modules") == []
