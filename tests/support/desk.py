"""A desk over HTTP, with its Polar, and a browser without JavaScript that logs in and fills in forms."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, cast

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.server import api_config
from app.api_main import create_api
from app.demo.polar import Polar, create_app
from config.settings import Settings
from tests.support.polar_standin import organization
from tests.support.receivers import settings_for
from tests.support.servers import running, running_as
from workers.timings import Timings

DESK_TOKEN = "desk-token-of-the-tests"
QUICK = Timings(wrong_token_seconds=0.05)

RULES = """\
version: 1
meters:
  api_usage: {property: units}
  image_generations: {property: units}
rules:
  - name: starter-pack
    triggers: [purchase]
    grant: {api_usage: 10}
    on_refund: revoke
  - name: yearly-only
    triggers: [subscription_create]
    when: subscription.recurring_interval == "year"
    grant: {image_generations: 100}
"""


@dataclass(kw_only=True)
class Browser:
    """Keeps cookies and the last page, as a browser without JavaScript does."""

    client: httpx.Client
    page: str = ""
    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    url: str = ""

    def get(self, page: str) -> str:
        """Open a page of the desk, following redirects; return its HTML."""
        return self._take(self.client.get(f"/desk/{page}", follow_redirects=True))

    def post(
        self, page: str, fields: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> str:
        """Send a form from the page that is open, following redirects; return the HTML of the answer."""
        data = {"form_token": self.form_token, **(fields or {})}
        origin = {"Origin": str(self.client.base_url).rstrip("/")}
        sent = self.client.post(
            f"/desk/{page}", data=data, headers={**origin, **(headers or {})}, follow_redirects=True
        )
        return self._take(sent)

    def log_in(self, name: str = "Ada", token: str = DESK_TOKEN, next_page: str = "") -> str:
        """Log in."""
        self.get("login")
        return self.post("login", {"name": name, "token": token, "next": next_page})

    @property
    def form_token(self) -> str:
        """Return what every form of the page carries."""
        return self.hidden("form_token")

    def hidden(self, name: str) -> str:
        """Return the value of a hidden field of the page; "" if there is none."""
        found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', self.page)
        return unescape(found[1]) if found else ""

    @property
    def text(self) -> str:
        """Return what a person reads on the page, on one line."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.page)).split())

    def _take(self, answer: httpx.Response) -> str:
        self.page, self.status, self.headers = answer.text, answer.status_code, answer.headers
        self.url = str(answer.url).partition("/desk/")[2]
        return self.page


@dataclass(kw_only=True)
class DeskService:
    """A desk that serves, with its Polar and its rules file."""

    url: str
    polar: Polar
    rules_path: Path
    settings: Settings

    @contextmanager
    def visitor(self, **options: Any) -> Iterator[Browser]:
        """Yield a browser that has not logged in."""
        with httpx.Client(base_url=self.url, timeout=30, **options) as client:
            yield Browser(client=client)

    @contextmanager
    def operator(self, name: str = "Ada") -> Iterator[Browser]:
        """Yield a browser that has logged in."""
        with self.visitor() as browser:
            browser.log_in(name)
            yield browser


def without_prefix(prefix: str, app: ASGIApp) -> ASGIApp:
    """Return an application that takes ``prefix`` off each path."""

    async def strip(scope: Scope, receive: Receive, send: Send) -> None:
        if "path" in scope:
            scope = {**scope, "path": scope["path"].replace(prefix, "", 1)}
        await app(scope, receive, send)

    return strip


@contextmanager
def desk_at(
    redis_url: str,
    folder: Path,
    rules: str = RULES,
    *,
    prefix: str = "",
    root_path: str = "",
    **variables: str,
) -> Iterator[DeskService]:
    """Serve a desk on this Redis, with a stand-in for Polar.

    With ``prefix`` it is served as behind a proxy that puts this before each path, and takes it off again.
    """
    polar = organization()
    rules_path = folder / "rules.yaml"
    rules_path.write_text(rules)
    with running(create_app(polar)) as polar_url:
        usual = {
            "CREDITS_DESK_TOKEN": DESK_TOKEN,
            "CREDITS_RULES": str(rules_path),
            "POLAR_ACCESS_TOKEN": polar.token,
            "POLAR_SERVER": polar_url,
        }
        given = {name: value for name, value in (usual | variables).items() if value}
        settings = settings_for(redis_url, **given)
        config = api_config(create_api(settings, QUICK))
        config.app, config.root_path = without_prefix(prefix, cast(ASGIApp, config.app)), root_path
        with running_as(config) as url:
            yield DeskService(url=url + prefix, polar=polar, rules_path=rules_path, settings=settings)
