"""A rules file that breaks or disappears while workers run: what is logged, and what stays in force."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from config import rulebook
from config.errors import ConfigError
from config.rulebook import Rulebook
from config.rules import Rules, RulesError, load_rules
from tests.support.processes import TEN
from tests.support.rulebooks import (
    BROKEN,
    HALF_OF_MANY,
    LONG_ENOUGH,
    TWENTY,
    Watch,
    levels,
    version_of,
    write,
)

BROKEN_OTHERWISE = TWENTY.replace("version: 1", "version: 9")


class TestAFileThatBreaks:
    def test_is_reported_once_with_every_problem_and_the_old_rules_stay(
        self, watch: Watch, log: CapturingLogger
    ) -> None:
        """The log has the lines of `credits check`, and the summary says that the file is not used."""
        write(watch.path, BROKEN)
        for _ in range(5):
            watch.check_twice()

        assert watch.version == version_of(TEN)
        assert watch.rulebook.is_file_refused
        assert watch.rulebook.summary().startswith(
            f"1 rule, version {version_of(TEN)}; the file is now broken"
        )
        (call,) = log.calls
        assert (call.method_name, call.args) == ("error", ("rules file refused",))
        with pytest.raises(RulesError) as caught:
            load_rules(watch.path)
        assert len(caught.value.problems) > 1
        assert call.kwargs == {
            "problems": [str(problem) for problem in caught.value.problems],
            "still_in_force": version_of(TEN),
        }

    def test_is_reported_again_when_it_breaks_in_another_way(
        self, watch: Watch, log: CapturingLogger
    ) -> None:
        """An attempt to fix the file that fails is reported too."""
        for text in (BROKEN, BROKEN_OTHERWISE):
            write(watch.path, text)
            watch.check_twice()

        first, second = (call.kwargs["problems"] for call in log.calls)
        assert first != second
        assert levels(log) == ["error", "error"]

    @pytest.mark.parametrize("mended", [TEN, TWENTY])
    def test_comes_into_force_once_it_is_fixed(self, watch: Watch, log: CapturingLogger, mended: str) -> None:
        """The fix is logged, even if the rules are the same as before."""
        write(watch.path, BROKEN)
        watch.check_twice()
        write(watch.path, mended)
        watch.check_twice()

        assert watch.rulebook.summary() == f"1 rule, version {version_of(mended)}"
        assert levels(log) == ["error", "info"]

    def test_counts_as_broken_until_the_fixed_one_is_still(self, watch: Watch) -> None:
        """The file counts as broken until its new version has been read."""
        write(watch.path, BROKEN)
        watch.check_twice()
        write(watch.path, TWENTY)
        watch.check_after(LONG_ENOUGH)

        assert watch.rulebook.is_file_refused

    def test_by_a_bug_of_ours_harms_no_worker(
        self, watch: Watch, log: CapturingLogger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file is reported as unusable, and the traceback is logged."""

        def break_down(path: Path) -> Rules:
            raise RecursionError("too deep")

        monkeypatch.setattr(rulebook, "load_rules", break_down)
        write(watch.path, TWENTY)
        for _ in range(5):
            watch.check_twice()

        assert watch.version == version_of(TEN)
        assert levels(log) == ["exception", "error"]
        assert log.calls[1].kwargs["problems"] == [
            f"{watch.path}: reading it failed: RecursionError: too deep"
        ]


class TestAFileThatDisappears:
    def test_is_reported_once_and_the_old_rules_stay(self, watch: Watch, log: CapturingLogger) -> None:
        """A running worker goes on, although no worker could start with the file."""
        watch.path.unlink()
        for _ in range(5):
            watch.check_twice()

        assert watch.version == version_of(TEN)
        assert watch.rulebook.is_file_refused
        (call,) = log.calls
        assert call.method_name == "error"
        assert "file not found" in call.kwargs["problems"][0]

    def test_for_a_moment_is_not_logged(self, watch: Watch, log: CapturingLogger) -> None:
        """Some editors move the old file away before they write the new one."""
        aside = watch.path.with_suffix(".old")
        watch.path.rename(aside)
        watch.check_after(LONG_ENOUGH)
        aside.rename(watch.path)
        watch.check_twice()

        assert log.calls == []
        assert watch.rulebook.summary() == f"1 rule, version {version_of(TEN)}"

    def test_and_comes_back_as_it_was_is_in_force_again(self, watch: Watch, log: CapturingLogger) -> None:
        """The file is read again when it is back, although it is the same."""
        aside = watch.path.with_suffix(".old")
        watch.path.rename(aside)
        watch.check_twice()
        aside.rename(watch.path)
        watch.check_twice()

        assert watch.rulebook.summary() == f"1 rule, version {version_of(TEN)}"
        assert levels(log) == ["error", "info"]

    @pytest.mark.parametrize("put", [Path.mkdir, lambda path: path.symlink_to(path)], ids=["folder", "loop"])
    def test_for_what_cannot_be_read_is_reported_once(
        self, watch: Watch, log: CapturingLogger, put: Callable[[Path], None]
    ) -> None:
        """A folder, or a link to itself, is an example of a file that the system cannot read."""
        watch.path.unlink()
        put(watch.path)
        for _ in range(5):
            watch.check_twice()

        assert watch.version == version_of(TEN)
        (call,) = log.calls
        assert "cannot be read" in call.kwargs["problems"][0]


class TestAtTheStart:
    @pytest.mark.parametrize("text", [BROKEN, HALF_OF_MANY])
    def test_a_broken_file_is_refused(self, tmp_path: Path, text: str) -> None:
        """At the start there is no earlier version that could stay in force."""
        path = write(tmp_path / "rules.yaml", text)

        with pytest.raises(RulesError):
            Rulebook(path)

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        """The message is the same as for every command that needs the rules."""
        with pytest.raises(ConfigError, match="file not found"):
            Rulebook(tmp_path / "rules.yaml")
