"""Says which scope the token lacks, where that is why Polar refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from workers.errors import PolarDeniedError


@contextmanager
def needs(scope: str) -> Iterator[None]:
    """Name ``scope`` in the error of a request in the block that the token may not make."""
    try:
        yield
    except PolarDeniedError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        words = f"{error}; give the token the scope {scope} in Polar's dashboard"
        raise PolarDeniedError(words, status=error.status) from None
