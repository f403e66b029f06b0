"""Which rules are in force in a worker: those of the file's last version that could be used."""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from config.errors import ConfigError
from config.rules import Rules, load_rules

log = structlog.get_logger(__name__)

_NOT_USED = "the file is now broken or gone, and not used (`credits check` says why)"


# Editors and deployments write in several steps, and half a file may well be valid rules.
_STILL_SECONDS = 2.0

Signature = tuple[int, ...]


class Rulebook:
    """The rules in force, and an eye on their file; ConfigError if that cannot be used to begin with."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        # Taken before the file is read: what is written from here on shall be noticed.
        self._judged = self._seen = _signature(path)
        self._seen_at = clock()
        self._rules = load_rules(path)
        self._is_refused = False

    def current(self) -> Rules:
        """Return the rules in force; whoever works by them asks once for each piece of work."""
        return self._rules

    def summary(self) -> str:
        """Say in one line which rules are in force, and whether the file says otherwise by now."""
        count = len(self._rules.rules)
        line = f"{count} {'rule' if count == 1 else 'rules'}, version {self._rules.digest}"
        return f"{line}; {_NOT_USED}" if self._is_refused else line

    @property
    def is_file_refused(self) -> bool:
        """Say whether the file is broken or gone by now: the rules in force are those it held before."""
        return self._is_refused

    def reload_if_changed(self) -> None:
        """Notice a changed file; once it is still, it comes into force or is reported. Never raises."""
        now, signature = self._clock(), _signature(self._path)
        if signature != self._seen:
            self._seen, self._seen_at = signature, now
        elif signature != self._judged and now - self._seen_at >= _STILL_SECONDS:
            self._judge(signature)

    def _judge(self, signature: Signature | None) -> None:
        found = self._read()
        if _signature(self._path) != signature:
            return  # written to while we read: the next look begins anew
        self._judged = signature
        if isinstance(found, ConfigError):
            self._refuse(found)
        else:
            self._take(found)

    def _read(self) -> Rules | ConfigError:
        try:
            return load_rules(self._path)
        except ConfigError as error:
            return error
        except Exception as error:  # a bug that one file meets must not end the worker
            log.exception("reading the rules broke", path=str(self._path))
            return ConfigError(f"{self._path}: reading it broke: {type(error).__name__}: {error}")

    def _refuse(self, error: ConfigError) -> None:
        problems = str(error).splitlines()
        log.error("the rules file cannot be used", problems=problems, still_in_force=self._rules.digest)
        self._is_refused = True

    def _take(self, rules: Rules) -> None:
        before = self._rules.digest
        if self._is_refused or rules.digest != before:
            log.info("rules in force", version=rules.digest, before=before, rules=len(rules.rules))
        self._rules, self._is_refused = rules, False


def _signature(path: Path) -> Signature | None:
    """Return what differs as soon as the file is another, wherever links lead; None if none can be seen."""
    try:
        now = path.stat()
    except OSError:
        return None
    # The last alone tells of permissions mended, and of a tool that puts the time of writing back.
    return now.st_mtime_ns, now.st_size, now.st_ino, now.st_ctime_ns
