"""Only requests with one of our tokens are admitted, and a wrong one is answered late."""

import asyncio
import time

import pytest
from starlette.datastructures import Headers

from app.api.errors import UnauthorizedError
from app.api.tokens import Tokens

OLD, NEW = "old-token-of-the-shop", "new-token-of-the-shop"
WRONG_SECONDS = 0.05
FOREVER = 3600  # longer than any test may take


def ask(authorization: str | None, wrong_seconds: float = WRONG_SECONDS) -> None:
    """Ask with this header; UnauthorizedError if the request is not admitted."""
    headers = Headers({} if authorization is None else {"Authorization": authorization})
    asyncio.run(Tokens([OLD, NEW], wrong_seconds=wrong_seconds).admit(headers))


@pytest.mark.parametrize("token", [OLD, NEW])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_each_of_the_tokens_is_admitted_at_once(token: str, scheme: str) -> None:
    ask(f"{scheme} {token}", wrong_seconds=FOREVER)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", OLD, f"Basic {OLD}"])
def test_without_a_token_the_answer_says_what_to_send(authorization: str | None) -> None:
    with pytest.raises(UnauthorizedError, match="send the header Authorization: Bearer"):
        ask(authorization)


def test_of_two_tokens_none_is_tried() -> None:
    """A proxy may check the first, and another program the last."""
    raw = [(b"authorization", f"Bearer {token}".encode()) for token in (OLD, NEW)]
    with pytest.raises(UnauthorizedError, match="send the header Authorization: Bearer"):
        asyncio.run(Tokens([OLD, NEW], wrong_seconds=WRONG_SECONDS).admit(Headers(raw=raw)))


@pytest.mark.parametrize(
    "wrong", ["", f"{OLD}x", OLD[:-1], f"{OLD},{NEW}", OLD.upper(), "\xff\xfe", "x" * 60_000, f"{OLD}\x00"]
)
def test_a_wrong_token_is_refused_late_and_never_repeated(wrong: str) -> None:
    begin = time.monotonic()
    with pytest.raises(UnauthorizedError) as refused:
        ask(f"Bearer {wrong}")
    assert time.monotonic() - begin >= WRONG_SECONDS
    assert str(refused.value) == "the token is not one of those in CREDITS_API_TOKEN"
