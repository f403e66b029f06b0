"""Holds a worker's rules in force: those of the last usable version of the rules file."""

import time
from collections.abc import Callable
from pathlib import Path

from config.errors import ConfigError
from config.log import get_log
from config.rules import Rules, load_rules

log = get_log(__name__)

_NOT_USED = "the file is now broken or missing and is not used (`credits check` says why)"

# Editors and deployments write a file in several steps, and half a file may be valid rules.
_STILL_SECONDS = 2.0

FileState = tuple[int, ...]


class Rulebook:
    """Holds the rules in force and watches their file; ConfigError if the file is unusable at the start."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        # Taken before the file is read, so that a write during the read is noticed.
        self._loaded_state = self._last_state = _file_state(path)
        self._changed_at = clock()
        self._rules = load_rules(path)
        self._is_refused = False

    def current(self) -> Rules:
        """Return the rules in force. Call this once for each unit of work, so that it sees one version."""
        return self._rules

    def summary(self) -> str:
        """Return one line that names the rules in force and says whether the file is now unusable."""
        count = len(self._rules.rules)
        line = f"{count} {'rule' if count == 1 else 'rules'}, version {self._rules.digest}"
        return f"{line}; {_NOT_USED}" if self._is_refused else line

    @property
    def is_file_refused(self) -> bool:
        """Return whether the file is now broken or missing, so that its last usable version is in force."""
        return self._is_refused

    def reload_if_changed(self) -> None:
        """Load a changed file once it is stable for two seconds; log if it is unusable. Never raises."""
        now, state = self._clock(), _file_state(self._path)
        if state != self._last_state:
            self._last_state, self._changed_at = state, now
        elif state != self._loaded_state and now - self._changed_at >= _STILL_SECONDS:
            self._reload(state)

    def _reload(self, state: FileState | None) -> None:
        found = self._read()
        if _file_state(self._path) != state:
            return  # the file was written to while we read it; the next call starts again
        self._loaded_state = state
        if isinstance(found, ConfigError):
            self._refuse(found)
        else:
            self._accept(found)

    def _read(self) -> Rules | ConfigError:
        try:
            return load_rules(self._path)
        except ConfigError as error:
            return error
        except Exception as error:  # a bug that one file triggers must not end the worker
            log.exception("reading the rules failed", path=str(self._path))
            return ConfigError(f"{self._path}: reading it failed: {type(error).__name__}: {error}")

    def _refuse(self, error: ConfigError) -> None:
        problems = str(error).splitlines()
        log.error("rules file refused", problems=problems, still_in_force=self._rules.digest)
        self._is_refused = True

    def _accept(self, rules: Rules) -> None:
        before = self._rules.digest
        if self._is_refused or rules.digest != before:
            log.info("rules reloaded", version=rules.digest, before=before, rules=len(rules.rules))
        self._rules, self._is_refused = rules, False


def _file_state(path: Path) -> FileState | None:
    """Return values that change whenever the file or its link's target does; None if there is no file."""
    try:
        now = path.stat()
    except OSError:
        return None
    # Only ctime changes when permissions are fixed, or when a tool restores the modification time.
    return now.st_mtime_ns, now.st_size, now.st_ino, now.st_ctime_ns
