"""Whatever is logged, no reader of lines and no terminal takes it for anything else."""

import logging
import sys

import pytest
import structlog
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.logs import log_everywhere, raise_and_log, records
from workers.monitoring.logs import configure_logging

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
