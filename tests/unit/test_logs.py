"""What is logged: for machines one object a line, for people a text, for nobody a secret."""

import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from workers.logs import configure_logging

FORMATS: list[Literal["console", "json"]] = ["console", "json"]
LIBRARIES = ("rq.worker", "rq.job", "rq.scheduler", "httpx", "httpcore", "uvicorn.error")


@pytest.fixture(autouse=True)
def others_logging_is_left_alone() -> Iterator[None]:
    """Put back what ``configure_logging`` sets for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def fail_with_secrets_about(token: str) -> None:
    key = f"the signing key {token}".encode()
    raise ValueError(f"no use for {len(key)} bytes")


def test_for_machines_each_event_is_one_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info", process="worker")
    structlog.get_logger("ours").info("granted", delivery="two\nlines", credits="10 api_usage")
    logging.getLogger("theirs").warning("of a %s\nin two lines", "library")
    ours, theirs = records(capsys.readouterr().err)
    assert ours["event"] == "granted"
    assert (ours["delivery"], ours["credits"]) == ("two\nlines", "10 api_usage")
    assert theirs["event"] == "of a library\nin two lines"
    assert (ours["level"], theirs["level"]) == ("info", "warning")
    assert ours["process"] == theirs["process"] == "worker"
    assert ours["timestamp"].endswith("Z")


def test_an_error_with_its_traceback_is_one_line_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info", process="worker")
    for log in (structlog.get_logger("ours"), logging.getLogger("theirs")):
        try:
            fail_with_secrets_about("anything")
        except ValueError:
            log.exception("planning broke")
    ours, theirs = records(capsys.readouterr().err)
    assert "ValueError: no use for" in ours["exception"]
    assert "ValueError: no use for" in theirs["exception"]


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_traceback_shows_no_values_of_variables(
    capsys: pytest.CaptureFixture[str], log_format: Literal["console", "json"]
) -> None:
    """Variables of the code that failed hold the token, signing keys, whole webhooks."""
    configure_logging(log_format, "info", process="receiver")
    for log in (structlog.get_logger("ours"), logging.getLogger("uvicorn.error")):
        try:
            fail_with_secrets_about("s3" + "cret")
        except ValueError:
            log.exception("broke")
    shown = capsys.readouterr().err
    assert shown.count("no use for") >= 2
    assert "s3cret" not in shown


def test_what_is_none_is_left_out_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info", process="worker")
    structlog.get_logger().info("skipped", order=None, attempts=0, reason="")
    (record,) = records(capsys.readouterr().err)
    assert "order" not in record
    assert (record["attempts"], record["reason"]) == (0, "")


@pytest.mark.parametrize(("level", "seen"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_below_the_level_is_not_logged(
    capsys: pytest.CaptureFixture[str], level: str, seen: int
) -> None:
    configure_logging("json", level, process="worker")
    log = structlog.get_logger()
    for say in (log.debug, log.info, log.warning, log.error):
        say("something")
    assert len(records(capsys.readouterr().err)) == seen


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_tell_their_doings_only_to_who_debugs(
    capsys: pytest.CaptureFixture[str], library: str
) -> None:
    configure_logging("json", "info", process="worker")
    logging.getLogger(library).info("I did this")
    logging.getLogger(library).warning("I could not do that")
    assert [one["event"] for one in records(capsys.readouterr().err)] == ["I could not do that"]
    configure_logging("json", "debug", process="worker")
    logging.getLogger(library).info("I did this")
    assert [one["event"] for one in records(capsys.readouterr().err)] == ["I did this"]


def test_without_a_terminal_and_a_format_it_is_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(None, "info", process="worker")
    structlog.get_logger().info("granted")
    assert records(capsys.readouterr().err)[0]["event"] == "granted"


def test_for_people_an_event_is_one_line_of_text_without_colours_in_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("console", "info", process="worker")
    structlog.get_logger().info("granted", delivery="id-1", credits="10 api_usage")
    (line,) = capsys.readouterr().err.splitlines()
    assert "granted" in line
    assert "delivery=id-1" in line
    assert "\x1b" not in line


def test_configuring_twice_does_not_log_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info", process="worker")
    configure_logging("json", "info", process="worker")
    structlog.get_logger().info("granted")
    assert len(records(capsys.readouterr().err)) == 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example reads anew
@given(event=st.text(), value=ANYTHING)
def test_whatever_is_logged_is_one_object_on_one_line(
    capsys: pytest.CaptureFixture[str], event: str, value: object
) -> None:
    configure_logging("json", "info", process="worker")
    structlog.get_logger().info(event, value=value)
    logging.getLogger("theirs").warning("%s", event)
    ours, theirs = records(capsys.readouterr().err)
    assert ours["event"] == theirs["event"] == event
