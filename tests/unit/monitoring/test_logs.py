"""What is logged: for machines one object a line, for people a text."""

import errno
import logging
import sys
import threading
from http import HTTPStatus
from io import StringIO
from typing import Literal

import pytest
import structlog
from markupsafe import Markup

from tests.support.logs import FORMATS, LIBRARIES, fail_with_secrets_about, log_everywhere, records
from workers.monitoring.logs import configure_logging


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


def test_a_line_for_machines_begins_with_time_level_and_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info", process="worker")
    structlog.get_logger("ours").info("granted", a="1")
    logging.getLogger("theirs").warning("hello")
    for record in records(capsys.readouterr().err):
        assert list(record)[:3] == ["timestamp", "level", "event"]


def test_a_line_of_another_thread_names_the_process_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info", process="worker")
    thread = threading.Thread(target=structlog.get_logger("ours").info, args=("granted",))
    thread.start()
    thread.join()
    assert [record["process"] for record in records(capsys.readouterr().err)] == ["worker"]


def test_an_error_with_its_traceback_is_one_line_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info", process="worker")
    for log in (structlog.get_logger("ours"), logging.getLogger("theirs")):
        try:
            fail_with_secrets_about("anything")
        except ValueError:
            log.exception("planning failed")
    ours, theirs = records(capsys.readouterr().err)
    assert "ValueError: no use for" in ours["exception"]
    assert "ValueError: no use for" in theirs["exception"]


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


@pytest.mark.parametrize("library", [one for one in LIBRARIES if not one.startswith("http")])
def test_libraries_tell_their_doings_only_to_who_debugs(
    capsys: pytest.CaptureFixture[str], library: str
) -> None:
    configure_logging("json", "info", process="worker")
    logging.getLogger(library).info("I did this")
    logging.getLogger(library).error("I could not do that")
    assert [one["event"] for one in records(capsys.readouterr().err)] == ["I could not do that"]
    configure_logging("json", "debug", process="worker")
    logging.getLogger(library).info("I did this")
    assert [one["event"] for one in records(capsys.readouterr().err)] == ["I did this"]


def test_uvicorn_does_not_complain_of_each_stranger(capsys: pytest.CaptureFixture[str]) -> None:
    """It warns of each request that is no HTTP: a flood of them would fill the disk."""
    configure_logging("json", "info", process="receiver")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert records(capsys.readouterr().err) == []


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


class Full(StringIO):
    """A disk without room."""

    def write(self, _text: str) -> int:
        """Fail."""
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("away", ["full", "closed"])
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, log_format: Literal["console", "json"], away: str
) -> None:
    """It is told of a webhook that is stored: Polar must hear so."""
    stream = Full() if away == "full" else StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(log_format, "info", process="receiver")
    if away == "closed":
        stream.close()
    structlog.get_logger().info("accepted", delivery="id-1")
    assert stream.closed or stream.getvalue() == ""


def test_values_of_other_types_are_told_in_their_own_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json", "info", process="worker")
    log_everywhere("opened", Markup("<b>"))
    log_everywhere("opened", b"bytes")
    log_everywhere("opened", HTTPStatus.OK)
    log_everywhere("opened", [True, None])
    ours = records(capsys.readouterr().err)[::3]
    assert str([one["value"] for one in ours]) == str(["<b>", "b'bytes'", 200, [True, None]])


@pytest.mark.parametrize("log_format", FORMATS)
def test_plain_words_stay_as_they_are(
    capsys: pytest.CaptureFixture[str], log_format: Literal["console", "json"]
) -> None:
    """Letters of any language are no danger."""
    configure_logging(log_format, "info", process="worker")
    structlog.get_logger().info("Größe 大きさ", customer="größte-Kundin", rules=["a", "b"])
    written = capsys.readouterr().err
    if log_format == "json":
        assert records(written)[0]["event"] == "Größe 大きさ"
    else:
        assert "Größe 大きさ" in written
        assert "customer=größte-Kundin" in written
        assert "rules=['a', 'b']" in written
