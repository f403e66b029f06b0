"""Admits requests that carry one of our tokens."""

import asyncio
import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers

from app.api.errors import UnauthorizedError

_SCHEME = "bearer "


class Tokens:
    """The tokens that are valid: several while one is being replaced.

    A wrong token is answered late, and a right one at once, even if both come from one address. So an
    attacker behind the storefront's own proxy does not slow it down.
    """

    def __init__(self, tokens: Iterable[str], *, wrong_seconds: float) -> None:
        self._tokens = [token.encode() for token in tokens]
        self._wrong_seconds = wrong_seconds

    async def admit(self, headers: Headers) -> None:
        """Return if the request has a valid token; UnauthorizedError otherwise."""
        authorization, *others = headers.getlist("authorization") or [""]
        if others or not authorization.lower().startswith(_SCHEME):
            raise UnauthorizedError("send the header Authorization: Bearer <CREDITS_API_TOKEN>")
        given = authorization[len(_SCHEME) :].strip().encode("latin-1")
        # All are compared, so that the time does not show which one was close.
        if not any([hmac.compare_digest(given, token) for token in self._tokens]):  # noqa: C419
            await asyncio.sleep(self._wrong_seconds)
            raise UnauthorizedError("the token is not one of those in CREDITS_API_TOKEN")
