"""Cuts what comes one by one into batches."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """Yield ``items`` in lists of ``most``; the last may be shorter. Reads no more than the list it yields.

    Python has this as ``itertools.batched``, but only since 3.12.
    """
    left = iter(items)
    while some := list(islice(left, most)):
        yield some
