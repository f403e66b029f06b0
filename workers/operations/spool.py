"""Collections on disk, for what a command must remember of millions of rows.

They are tables of a temporary database of SQLite's: it is in memory while it is small, has no name in any
folder, and ends with the process, however that ends. Where no folder takes a file, as in a container that is
read-only, it stays in memory.
"""

import sqlite3
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping, MutableSet
from contextlib import closing, suppress
from itertools import count
from typing import Any, Generic, TypeVar

from msgspec import json
from pydantic import BaseModel

Value = TypeVar("Value")

_CACHE_KIB = 16_000


class _Packing:
    """Turns values of a type into JSON and back; the fields of a struct say how."""

    def __init__(self, of: Any) -> None:
        self.pack = json.Encoder(enc_hook=_plain).encode
        self.unpack: Callable[[bytes], Any] = json.Decoder(of, dec_hook=_from_plain).decode


def _plain(value: object) -> object:
    """Return what JSON has for a value of a type that msgspec does not know, such as a fraction."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _from_plain(kind: type[Any], plain: Any) -> Any:
    return kind.model_validate(plain) if issubclass(kind, BaseModel) else kind(plain)


class Spool:
    """A temporary database with collections. Only the thread that made it may use it.

    ``of`` is the type of the values.
    """

    def __init__(self) -> None:
        is_on_disk = _takes_a_file()
        self.database = sqlite3.connect("" if is_on_disk else ":memory:", isolation_level=None)
        weakref.finalize(self, self.database.close)
        self._numbers = count(1)
        settings = ["journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"]
        for setting in settings if is_on_disk else [*settings, "temp_store = MEMORY"]:
            self.database.execute(f"PRAGMA {setting}")
        self.database.execute("BEGIN")  # and it never commits: that would cost more than the statements

    def mapping(self, of: Any) -> "SpooledMapping[Any]":
        """Return a new mapping from texts."""
        return SpooledMapping(self, "key TEXT UNIQUE, value BLOB", of)

    def list(self, of: Any) -> "SpooledList[Any]":
        """Return a new list."""
        return SpooledList(self, "value BLOB", of)

    def sorted_list(
        self, values: Iterable[Value], place: Callable[[Value], str], of: Any
    ) -> "SpooledList[Value]":
        """Return a new list of these values, sorted by a text; equal texts keep their order."""
        unsorted, packing = self.create("place TEXT, value BLOB"), _Packing(of)
        rows = ((place(one), packing.pack(one)) for one in values)
        self.database.executemany(f"INSERT INTO {unsorted} (place, value) VALUES (?, ?)", rows)  # noqa: S608 - our own name
        found = self.list(of)
        found.take_sorted(unsorted)
        self.database.execute(f"DROP TABLE {unsorted}")
        return found

    def set(self) -> "SpooledSet":
        """Return a new set of texts."""
        return SpooledSet(self, "key TEXT UNIQUE", str)

    def create(self, columns: str) -> str:
        """Create a table; return its name."""
        table = f"spooled_{next(self._numbers)}"
        self.database.execute(f"CREATE TABLE {table} (number INTEGER PRIMARY KEY, {columns})")
        return table


def _takes_a_file() -> bool:
    """Return whether SQLite can write a temporary file. Only trying shows which folders it uses."""
    with closing(sqlite3.connect("", isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")
        with suppress(sqlite3.OperationalError):
            database.execute("CREATE TABLE tried AS SELECT zeroblob(100000)")
            return True
    return False


def sorted_on_disk(values: Iterable[Value], place: Callable[[Value], str], of: Any) -> Iterator[Value]:
    """Yield values of a type, sorted by a text."""
    spool, packing = Spool(), _Packing(of)
    spool.database.execute("CREATE TABLE sorted (place TEXT, value BLOB)")
    rows = ((place(one), packing.pack(one)) for one in values)
    spool.database.executemany("INSERT INTO sorted VALUES (?, ?)", rows)
    for (packed,) in spool.database.execute("SELECT value FROM sorted ORDER BY place"):
        yield packing.unpack(packed)


class _Table:
    """What the collections share: a table whose rows are numbered in the order in which they came."""

    def __init__(self, spool: Spool, columns: str, of: Any) -> None:
        self._spool = spool  # it closes its database when nothing refers to it
        self._name = spool.create(columns)
        self._packing = _Packing(of)
        self._size = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return self._size

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Run a statement on the table, which it names ``self``."""
        return self._spool.database.execute(statement.replace("self", self._name), values)

    def _has(self, key: object) -> bool:
        return self._run("SELECT 1 FROM self WHERE key = ?", key).fetchone() is not None

    def _pages(self, statement: str) -> Iterator[Any]:
        """Yield the second column of each row, a page at a time: the table may be changed meanwhile."""
        last = 0
        while page := self._run(statement, last).fetchall():
            yield from (value for _, value in page)
            last = page[-1][0]


_KEYS = "SELECT number, key FROM self WHERE number > ? ORDER BY number LIMIT 500"
_VALUES = "SELECT number, value FROM self WHERE number > ? ORDER BY number LIMIT 500"


class SpooledMapping(_Table, MutableMapping[str, Value]):
    """A mapping in the order in which its keys came. It returns copies: set a value again to change it."""

    def __getitem__(self, key: str) -> Value:
        """Return a copy of a value."""
        row = self._run("SELECT value FROM self WHERE key = ?", key).fetchone()
        if row is None:
            raise KeyError(key)
        value: Value = self._packing.unpack(row[0])
        return value

    def __contains__(self, key: object) -> bool:
        """Return whether there is such a key."""
        return self._has(key)

    def __setitem__(self, key: str, value: Value) -> None:
        """Set a value; a key that is there keeps its place."""
        packed = self._packing.pack(value)
        if not self._run("UPDATE self SET value = ? WHERE key = ?", packed, key).rowcount:
            self._size += self._run("INSERT INTO self (key, value) VALUES (?, ?)", key, packed).rowcount

    def __delitem__(self, key: str) -> None:
        """Remove a key."""
        if not self._run("DELETE FROM self WHERE key = ?", key).rowcount:
            raise KeyError(key)
        self._size -= 1

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        return self._pages(_KEYS)


class SpooledList(_Table, Collection[Value], Generic[Value]):
    """A list that only grows."""

    def append(self, value: Value, /) -> None:
        """Add a value."""
        self._size += self._run("INSERT INTO self (value) VALUES (?)", self._packing.pack(value)).rowcount

    def take_sorted(self, unsorted: str) -> None:
        """Add the values of another table, sorted by their places."""
        copied = self._run(f"INSERT INTO self (value) SELECT value FROM {unsorted} ORDER BY place, number")  # noqa: S608 - our own name
        self._size += copied.rowcount

    def __iter__(self) -> Iterator[Value]:
        """Yield a copy of each value."""
        return map(self._packing.unpack, self._pages(_VALUES))

    def __reversed__(self) -> Iterator[Value]:
        """Yield a copy of each value, the last first; the list must not grow meanwhile."""
        cursor = self._run("SELECT value FROM self ORDER BY number DESC")
        return (self._packing.unpack(packed) for (packed,) in cursor)

    def __contains__(self, value: object) -> bool:
        """Return whether an equal value is there; it reads all of them."""
        return any(one == value for one in self)


class SpooledSet(_Table, MutableSet[str]):
    """A set of texts."""

    def __contains__(self, key: object) -> bool:
        """Return whether a text is there."""
        return self._has(key)

    def __iter__(self) -> Iterator[str]:
        """Yield the texts."""
        return self._pages(_KEYS)

    def __reversed__(self) -> Iterator[str]:
        """Yield the texts, the last first; the set must not change meanwhile."""
        return (key for (key,) in self._run("SELECT key FROM self ORDER BY number DESC"))

    def add(self, value: str) -> None:
        """Add a text."""
        self._size += self._run("INSERT OR IGNORE INTO self (key) VALUES (?)", value).rowcount

    def discard(self, value: str) -> None:
        """Remove a text, if it is there."""
        self._size -= self._run("DELETE FROM self WHERE key = ?", value).rowcount
