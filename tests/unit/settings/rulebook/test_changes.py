"""A rules file that changes while workers run: which version is in force, and when."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from config import rulebook
from config.rules import Rules, load_rules
from tests.support.processes import TEN
from tests.support.rulebooks import (
    BROKEN,
    HALF_OF_MANY,
    LONG_ENOUGH,
    MANY,
    THIRTY,
    TWENTY,
    Watch,
    levels,
    version_of,
    watch_in,
    write,
)


@pytest.fixture
def reads(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list to which each read of the file adds its path."""
    done: list[Path] = []

    def load_and_count(path: Path) -> Rules:
        done.append(path)
        return load_rules(path)

    monkeypatch.setattr(rulebook, "load_rules", load_and_count)
    return done


def renamed_over(path: Path, text: str) -> None:
    """Replace the file by renaming a new one over it, as careful editors and deployments do."""
    os.replace(write(path.with_suffix(".new"), text), path)


def removed_and_written(path: Path, text: str) -> None:
    path.unlink()
    write(path, text)


class TestAFileThatChanges:
    @pytest.mark.parametrize("save", [write, renamed_over, removed_and_written])
    def test_comes_into_force_however_it_is_saved(
        self, watch: Watch, log: CapturingLogger, save: Callable[[Path, str], object]
    ) -> None:
        """One log line has the new version, the one before, and the number of rules."""
        save(watch.path, MANY)
        watch.check_twice()

        assert watch.version == version_of(MANY)
        assert watch.rulebook.summary() == f"2 rules, version {version_of(MANY)}"
        (call,) = log.calls
        assert (call.method_name, call.args) == ("info", ("rules reloaded",))
        assert call.kwargs == {"version": version_of(MANY), "before": version_of(TEN), "rules": 2}

    def test_is_not_used_before_it_was_still_for_two_seconds(self, watch: Watch) -> None:
        """The two seconds count from the first check that saw the change."""
        write(watch.path, TWENTY)
        watch.check_after(60)
        watch.check_after(LONG_ENOUGH - 0.1)
        assert watch.version == version_of(TEN)

        watch.check_after(0.1)
        assert watch.version == version_of(TWENTY)

    def test_is_not_used_while_it_keeps_changing(self, watch: Watch) -> None:
        """Each change restarts the two seconds."""
        for text in (TWENTY, THIRTY, TWENTY, THIRTY):
            write(watch.path, text)
            watch.check_after(LONG_ENOUGH)
            assert watch.version == version_of(TEN)

        watch.check_after(LONG_ENOUGH)
        assert watch.version == version_of(THIRTY)

    def test_half_written_it_is_neither_used_nor_reported(self, watch: Watch, log: CapturingLogger) -> None:
        """A half-written file is not a mistake."""
        write(watch.path, HALF_OF_MANY)
        watch.check_after(0)
        write(watch.path, MANY)
        watch.check_after(LONG_ENOUGH)
        watch.check_after(LONG_ENOUGH)

        assert watch.version == version_of(MANY)
        assert levels(log) == ["info"]

    def test_written_to_while_it_is_read_it_is_read_again(
        self, watch: Watch, log: CapturingLogger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The version read in between is discarded, whether valid or broken."""

        def load_and_write(path: Path) -> Rules:
            monkeypatch.setattr(rulebook, "load_rules", load_rules)
            rules = load_rules(path)
            write(path, THIRTY)
            return rules

        write(watch.path, TWENTY)
        monkeypatch.setattr(rulebook, "load_rules", load_and_write)
        watch.check_twice()
        assert watch.version == version_of(TEN)

        watch.check_twice()
        assert watch.version == version_of(THIRTY)
        assert levels(log) == ["info"]

    def test_written_to_while_a_worker_starts_it_is_noticed_later(
        self, tmp_path: Path, log: CapturingLogger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A worker that read the file just before its last change notices that change later."""

        def load_then_write(path: Path) -> Rules:
            monkeypatch.setattr(rulebook, "load_rules", load_rules)
            rules = load_rules(path)
            write(path, TWENTY)
            return rules

        monkeypatch.setattr(rulebook, "load_rules", load_then_write)
        watch = watch_in(tmp_path)
        assert watch.version == version_of(TEN)

        watch.check_twice()
        assert watch.version == version_of(TWENTY)

    def test_changed_and_changed_back_is_not_logged(self, watch: Watch, log: CapturingLogger) -> None:
        """The same text is the same version, whenever it is written."""
        write(watch.path, TWENTY)
        watch.check_after(0)
        write(watch.path, TEN)
        watch.check_twice()

        assert watch.version == version_of(TEN)
        assert log.calls == []

    def test_of_the_same_size_and_time_is_noticed_when_it_is_another_file(self, watch: Watch) -> None:
        """A file renamed over the old one is noticed, even if its size and time are the same."""
        before = watch.path.stat()
        new = write(watch.path.with_suffix(".new"), TWENTY)
        os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.replace(new, watch.path)
        after = watch.path.stat()
        assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)

        watch.check_twice()
        assert watch.version == version_of(TWENTY)

    def test_of_which_only_the_time_of_change_is_new_is_noticed(self, watch: Watch) -> None:
        """Fixed permissions are noticed this way, and tools that restore the modification time."""
        before = watch.path.stat()
        while watch.path.stat().st_ctime_ns == before.st_ctime_ns:  # until the disk's clock moves on
            watch.path.write_text(TWENTY)
            os.utime(watch.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = watch.path.stat()
        assert after[:9] == before[:9]  # all but the last: mode, inode, size, the time of writing

        watch.check_twice()
        assert watch.version == version_of(TWENTY)

    def test_is_followed_through_links_that_are_swapped(self, tmp_path: Path, log: CapturingLogger) -> None:
        """So is a ConfigMap: the file links into a folder that is itself a link, and that link is swapped."""
        for folder, text in (("v1", TEN), ("v2", TWENTY)):
            (tmp_path / folder).mkdir()
            write(tmp_path / folder / "rules.yaml", text)
        (tmp_path / "data").symlink_to("v1")
        (tmp_path / "rules.yaml").symlink_to("data/rules.yaml")
        watch = Watch(tmp_path / "rules.yaml")

        (tmp_path / "data.new").symlink_to("v2")
        os.replace(tmp_path / "data.new", tmp_path / "data")
        watch.check_twice()

        assert watch.version == version_of(TWENTY)


class TestAFileThatStaysAsItIs:
    def test_is_not_read_again(self, watch: Watch, reads: list[Path]) -> None:
        """Checking an unchanged file costs one call to stat."""
        for _ in range(10):
            watch.check_after(LONG_ENOUGH)

        assert reads == []

    def test_is_read_once_for_each_change(self, watch: Watch, reads: list[Path]) -> None:
        """A version is read once, whether it is valid or broken."""
        for text in (TWENTY, BROKEN):
            write(watch.path, text)
            for _ in range(5):
                watch.check_after(LONG_ENOUGH)

        assert len(reads) == 2
