"""What strategies of facts and of rules share: products, a time, and odds."""

from datetime import UTC, datetime
from typing import TypeVar

from hypothesis import strategies as st

from tests.support.builders import some_id

T = TypeVar("T")
U = TypeVar("U")

PRODUCTS = [some_id(number) for number in range(100, 104)]
CREATED = datetime(2026, 11, 21, tzinfo=UTC)


def mostly(usual: st.SearchStrategy[T], odd: st.SearchStrategy[U]) -> st.SearchStrategy[T | U]:
    """Draw the usual three times in four."""
    choices: list[st.SearchStrategy[T | U]] = [usual, usual, usual, odd]
    return st.sampled_from(choices).flatmap(lambda one: one)
