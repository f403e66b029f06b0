"""The rules file as the desk reads it: its last usable version, and what is wrong with a newer one."""

from pathlib import Path
from threading import Lock

from msgspec import Struct, field

from config.errors import ConfigError
from config.rules import NO_RULES, Rules, load_rules


class ReadRules(Struct, frozen=True, kw_only=True):
    """What was read: ``rules`` is the last usable version, ``problems`` are lines about the present one."""

    rules: Rules = NO_RULES
    problems: tuple[str, ...] = ()


class RulesFile(Struct, kw_only=True):
    """Reads the file again when it has changed. Unlike a worker, the desk also starts with a broken file."""

    path: Path
    _read: ReadRules = field(default_factory=ReadRules)
    _state: object = None
    _lock: Lock = field(default_factory=Lock)

    def current(self) -> ReadRules:
        """Return what the file says now."""
        with self._lock:
            state = self._look()
            if state != self._state or state is None:
                self._read, self._state = self._load(), state
            return self._read

    def _look(self) -> object:
        try:
            now = self.path.stat()
        except OSError:
            return None
        return now.st_mtime_ns, now.st_size, now.st_ino, now.st_ctime_ns

    def _load(self) -> ReadRules:
        try:
            return ReadRules(rules=load_rules(self.path))
        except ConfigError as error:
            return ReadRules(rules=self._read.rules, problems=tuple(str(error).splitlines()))
