"""One seed for a whole storm: who draws for one subject does not change what another draws."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def dice(seed: int, subject: str) -> Random:
    """Return what decides about one subject: the same for the same seed."""
    return Random(f"{seed} {subject}")  # noqa: S311 - it shall be foreseen


def shuffled(rng: Random, things: Sequence[T]) -> list[T]:
    """Return ``things`` in another order."""
    return rng.sample(things, len(things))
