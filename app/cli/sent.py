"""Posts a signed body for ``credits send``, and prints what was answered."""

import json as json_module
from collections.abc import Mapping
from typing import Any

import httpx
from rich.text import Text

from app.cli.output import console, literal, print_json, status_text
from app.cli.shapes import SentJson
from app.cli.to_json import delivery_json
from app.errors import CommandError
from config.network import find_proxy, ssl_context
from workers.core.delivery import Delivery

_TIMEOUT_SECONDS = 10  # as long as Polar waits, and as a credit event does


def post_signed(
    url: str, body: bytes, headers: Mapping[str, str], *, advice: str = "does the storefront listen there?"
) -> httpx.Response:
    """Post ``body`` once; CommandError with ``advice`` if there is no answer."""
    try:
        return httpx.post(
            url,
            content=body,
            headers={"Content-Type": "application/json", **headers},
            timeout=_TIMEOUT_SECONDS,
            proxy=find_proxy(url),
            verify=ssl_context(),
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandError(f"no answer from {url}: {error}; {advice}") from None


def print_answer(response: httpx.Response, one: Delivery | None, *, json: bool) -> None:
    """Print what was answered, and what became of the delivery, if that is known."""
    answer = _answer(response)
    if json:
        answered: SentJson = {
            "status": response.status_code,
            "answer": answer,
            "delivery": delivery_json(one) if one else None,
        }
        print_json(answered)
        return
    if isinstance(answer, dict):
        fields = "  ".join(f"{name} {value}" for name, value in answer.items())
        console().print(literal(f"{response.status_code}  {fields}".rstrip()))
    else:
        console().print(literal(f"{response.status_code}  {answer}".rstrip()))
    if one:
        reason = one.reason or "not settled yet: `credits status` shows whether a worker runs"
        console().print(Text.assemble(status_text(one.status), literal(f"  {reason}")))


def _answer(response: httpx.Response) -> Any:
    try:
        return json_module.loads(response.content)
    except ValueError:
        return response.text
