"""Random numbers of a storm from one seed; each subject has numbers of its own."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def random_for(seed: int, subject: str) -> Random:
    """Return the random numbers for one subject; the same seed gives the same numbers."""
    return Random(f"{seed} {subject}")  # noqa: S311 - it must be reproducible


def shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    """Return ``items`` in random order."""
    return rng.sample(items, len(items))
