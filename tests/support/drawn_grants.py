"""A Hypothesis strategy: grants of different orders."""

from hypothesis import strategies as st

from tests.support.builders import grant_of, some_id
from workers.core.grants import Grant


def grants(most: int) -> st.SearchStrategy[list[Grant]]:
    """Draw up to ``most`` grants, each of another order and customer, in any order."""
    numbers = st.lists(st.integers(1, 10_000), min_size=1, max_size=most, unique=True)
    return numbers.map(lambda those: [grant_of(n, n, customer_id=some_id(n)) for n in those])
