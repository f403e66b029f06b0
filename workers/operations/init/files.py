"""Writes the files of ``credits init``: each appears whole or not at all, and keeps what is not ours."""

import re
import tempfile
from codecs import BOM_UTF8
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values, set_key
from msgspec import Struct

from config.pasted_secrets import find_secret_problems, split_secrets
from config.rules.schema import schema_text
from config.rules.starter import SCHEMA_FILE

_FOR_ALL_TO_READ = 0o644
_NOT_FOR_OTHERS = 0o770
_NEEDS_NO_QUOTES = re.compile(r"[\w./:@,+=~-]*")  # container runtimes read quotes in an .env as characters


class EnvChanges(Struct, frozen=True, kw_only=True):
    """The names in an ``.env`` that get a first value, and those that get another one."""

    added: tuple[str, ...]
    changed: tuple[str, ...]


def env_changes(path: Path, wanted: Mapping[str, str]) -> EnvChanges:
    """Return what writing ``wanted`` would do; what has its value already is in neither list."""
    present = dotenv_values(path, encoding="utf-8-sig", interpolate=False)
    differing = [name for name, value in wanted.items() if (present.get(name) or "") != value]
    return EnvChanges(
        added=tuple(name for name in differing if not present.get(name)),
        changed=tuple(name for name in differing if present.get(name)),
    )


def write_env(path: Path, wanted: Mapping[str, str]) -> None:
    """Set these variables in an ``.env``, and keep its other lines; others on this host may not read it."""
    if path.exists():
        path.chmod(path.stat().st_mode & _NOT_FOR_OTHERS)
    changes = env_changes(path, wanted)
    for name in (*changes.added, *changes.changed):
        value = wanted[name]
        quotes = "never" if _NEEDS_NO_QUOTES.fullmatch(value) else "always"
        set_key(path, name, value, quote_mode=quotes, encoding=_encoding(path), follow_symlinks=True)


def secrets_with(secret: str, present: str | None) -> str:
    """Return the value of POLAR_WEBHOOK_SECRET with the endpoint's secret; usable others are kept."""
    others = split_secrets(present or "")
    if secret in others:
        return present or ""
    usable = [one for one in others if not list(find_secret_problems([one]))]
    return ",".join([secret, *usable])


def write_rules(path: Path, text: str) -> None:
    """Write a new rules file, and beside it the schema for editors unless there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = path.with_name(SCHEMA_FILE)
    if not schema.exists():
        _write_whole(schema, schema_text())
    _write_whole(path, text)


def _write_whole(path: Path, text: str) -> None:
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
        written = Path(folder) / path.name
        written.write_text(text, encoding="utf-8")
        written.chmod(_FOR_ALL_TO_READ)
        written.replace(path)


def _encoding(path: Path) -> str:
    """Return the encoding that keeps a byte order mark where there is one, and adds none."""
    if not path.exists():
        return "utf-8"
    with path.open("rb") as file:
        return "utf-8-sig" if file.read(len(BOM_UTF8)) == BOM_UTF8 else "utf-8"
