"""What is logged: for machines one object a line, for people a text, for nobody a secret."""

import errno
import json
import logging
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from io import StringIO
from typing import Any, Literal

import pytest
import structlog
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from markupsafe import Markup
from msgspec import Struct

from tests.support.examples import examples
from workers.monitoring.logs import configure_logging

FORMATS: list[Literal["console", "json"]] = ["console", "json"]
SECRET = "sesame"
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


@pytest.mark.parametrize("log_format", FORMATS)
def test_nobodys_address_is_told(
    capsys: pytest.CaptureFixture[str], log_format: Literal["console", "json"]
) -> None:
    """A grant by hand to an address has it in its id and key; what is around it can still be read."""
    configure_logging(log_format, "info", process="worker")
    structlog.get_logger().info(
        "failed",
        delivery="manual-beta:ann+1@example.com:api_usage",
        keys=["credits:manual:beta:ann+1@example.com:api_usage"],
        reason="Polar knows nobody <ann+1@example.com>, and größe@example.com neither",
    )
    raise_and_log("no use for ann+1@example.com")
    written = capsys.readouterr().err
    assert "@" not in written
    assert "ann" not in written
    for words in ("manual-beta:...:api_usage", "credits:manual:beta:...:api_usage", "nobody <...>, and ..."):
        assert words in written


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


# Whatever a terminal or a reader of lines might obey: controls, ends of lines, marks that turn text about.
MARKS = "\n\r\x00\x07\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\udc9b\ud800"
HOSTILE = st.text(st.sampled_from(MARKS) | st.characters(codec=None, exclude_characters="@"), max_size=20)
FORGED = "\n2026-11-21T10:00:00Z [info     ] granted   \x1b[2K delivery=x\u202e"

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=5,
)

each_example_reads_anew = hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(300)
)


class Speaker:
    """Something whose description is somebody else's."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


def log_everywhere(event: str, value: object) -> None:
    """Say it as we do, and as libraries do."""
    structlog.get_logger("ours").info(event, value=value)
    logging.getLogger("theirs").warning("%s", event)
    logging.getLogger("theirs").warning("of %s", value)


def fail_saying(words: str) -> None:
    raise ValueError(words)


def raise_and_log(words: str) -> None:
    try:
        fail_saying(words)
    except ValueError:
        structlog.get_logger("ours").exception("broke")
        logging.getLogger("theirs").exception("broke")


@each_example_reads_anew
@given(event=HOSTILE, value=ANYTHING | HOSTILE.map(Speaker))
@example(event=FORGED, value=FORGED)
@example(event=FORGED, value=Speaker(FORGED))
def test_whatever_is_logged_is_one_object_on_one_line(
    capsys: pytest.CaptureFixture[str], event: str, value: object
) -> None:
    configure_logging("json", "info", process="worker")
    log_everywhere(event, value)
    written = capsys.readouterr().err
    ours, theirs, _ = records(written)
    assert ours["event"] == theirs["event"] == event
    assert_plain(written)


@dataclass
class Discreet:
    """Something that hides a field when it is shown."""

    shown: str
    hidden: str = field(repr=False)


class Discreeter(Struct):
    """Something that hides all its fields when it is shown."""

    hidden: str

    def __repr__(self) -> str:
        return "Discreeter(...)"


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("value", [Discreet("open", SECRET), Discreeter(SECRET)])
def test_what_is_logged_shows_no_more_than_its_description(
    capsys: pytest.CaptureFixture[str], log_format: Literal["console", "json"], value: object
) -> None:
    configure_logging(log_format, "info", process="worker")
    log_everywhere("opened", value)
    log_everywhere("opened", [value])
    log_everywhere("opened", {"one": (value,)})
    written = capsys.readouterr().err
    assert written.count(repr(value)) == 6
    assert SECRET not in written


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


@each_example_reads_anew
@given(event=HOSTILE, value=ANYTHING | HOSTILE.map(Speaker))
@example(event=FORGED, value=FORGED)
@example(event=FORGED, value=Speaker(FORGED))
def test_for_people_too_whatever_is_logged_is_one_line_that_no_terminal_obeys(
    capsys: pytest.CaptureFixture[str], event: str, value: object
) -> None:
    configure_logging("console", "info", process="worker")
    log_everywhere(event, value)
    written = capsys.readouterr().err
    assert len(written.splitlines()) == 3
    assert_plain(written)


@each_example_reads_anew
@given(words=HOSTILE)
@example(words=FORGED)
def test_the_words_of_an_error_cannot_pass_for_another_line(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    """A traceback has lines of its own for people: all but the first stand aside."""
    configure_logging("console", "info", process="worker")
    raise_and_log(words)
    written = capsys.readouterr().err
    assert_plain(written)
    assert sum(not line.startswith("    ") for line in written.splitlines()) == 2


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


def test_on_a_terminal_the_colours_are_ours_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure_logging(None, "info", process="worker")
    structlog.get_logger().info("\x1b[31mred", value="\x1b[31mred")
    logging.getLogger("theirs").warning("\x1b[31mred")
    written = capsys.readouterr().err
    assert "\x1b[" in written
    assert "\x1b[31mred" not in written


def assert_plain(written: str) -> None:
    """Check that what is written holds no character but printable ones and ends of lines."""
    assert [one for one in written if not (one.isprintable() or one == "\n")] == []


@pytest.mark.parametrize("library", ["httpx", "httpcore.connection"])
def test_the_url_of_a_request_is_told_at_no_level(capsys: pytest.CaptureFixture[str], library: str) -> None:
    """A customer is looked for by the address, which stands in it."""
    configure_logging("json", "debug", process="grant")
    logging.getLogger(library).info("GET /v1/customers/?email=jane%40example.com")
    logging.getLogger(library).debug("GET /v1/customers/?email=jane%40example.com")
    assert capsys.readouterr().err == ""
