"""A survey of an organization without sockets: what it asks, and what it finds."""

from collections.abc import Callable
from contextlib import closing

import httpx

from app.demo.polar import Polar as Standin
from config.rules import Rules
from tests.support.answers import URL
from tests.support.builders import PRODUCT, rule, rules_of
from tests.support.catalogues import goods
from tests.support.polar_standin import ask
from workers.core.findings import Finding
from workers.operations.check.survey import survey
from workers.polar.client import Polar

TOKEN = Standin.token
PACK = rules_of(rule("pack", {"api_usage": 10}, products=[PRODUCT]))

Answer = Callable[[httpx.Request], httpx.Response]


def stocked_standin() -> Standin:
    """Return an organization that has what PACK and its file need."""
    polar = Standin()
    for name, summed in (("api_usage", "units"), ("images", "units"), ("seconds", "amount")):
        polar.add_meter(name, summed)
    polar.add_product(**goods())
    return polar


def asked(polar: Standin) -> tuple[Answer, list[str]]:
    """Return what answers as ``polar`` does, without a socket, and what it was asked."""
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(f"{request.method} {request.url.path}")
        path, headers = request.url.raw_path.decode(), dict(request.headers)
        got = ask(polar, request.method, path, token=None, headers=headers, content=request.content)
        return httpx.Response(got.status_code, headers=got.headers, content=got.content)

    return answer, paths


def said(answer: Answer, rules: Rules | None = PACK, *, token: str = TOKEN) -> list[Finding]:
    """Return what is found; none of it shows the token."""
    with closing(Polar(url=URL, token=token, transport=httpx.MockTransport(answer))) as polar:
        found = list(survey(polar, rules))
    assert all(token not in one.detail for one in found)
    return found


def brief(found: list[Finding]) -> list[tuple[str, str]]:
    """Return all that is not well, without details."""
    return [(one.level, one.what) for one in found if one.level != "ok"]
