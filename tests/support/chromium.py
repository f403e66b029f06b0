"""Debian's Chromium, driven by Playwright: pages that may run nothing, and load nothing from elsewhere."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

from tests.support.desk import DESK_TOKEN, DeskService

Scheme = Literal["light", "dark"]

WIDE, NARROW = (1280, 900), (390, 844)


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Yield a browser. It needs no sandbox: it sees nothing but our own pages."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass(kw_only=True)
class Window:
    """A window of the browser, and what a page did that it must not do."""

    page: Page
    service: DeskService
    offences: list[str] = field(default_factory=list)

    def open(self, page: str) -> None:
        """Open a page of the desk."""
        self.page.goto(f"{self.service.url}/desk/{page}")

    def log_in(self, name: str = "Ada") -> None:
        """Log in."""
        self.open("login")
        self.page.fill("#name", name)
        self.page.fill("#token", DESK_TOKEN)
        self.page.click("button.main")

    @property
    def overflows(self) -> bool:
        """Return whether the page is wider than the window."""
        wider = self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return bool(wider)


@contextmanager
def window(
    browser: Chromium,
    service: DeskService,
    *,
    size: tuple[int, int] = WIDE,
    scheme: Scheme = "light",
    script: bool = True,
) -> Iterator[Window]:
    """Yield a window; ``script`` says whether JavaScript is on."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, java_script_enabled=script
    )
    opened = Window(page=context.new_page(), service=service)

    def note_message(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:  # a violation of the policy is an error
            opened.offences.append(message.text)

    def note_request(request: Request) -> None:
        if not request.url.startswith(service.url):
            opened.offences.append(f"asked for {request.url}")

    opened.page.on("console", note_message)
    opened.page.on("request", note_request)
    opened.page.on("dialog", lambda dialog: opened.offences.append(f"said {dialog.message}"))
    try:
        yield opened
    finally:
        context.close()
