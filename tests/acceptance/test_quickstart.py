"""Walks docs/quickstart.md: its commands are run as they stand there, in an empty folder, in their order.

Four things differ from what a reader does, because there is no network. The command is installed from this
checkout, not from its repository. POLAR_SERVER is the stand-in for Polar, where the page says sandbox. The
test is the tunnel: it brings webhooks from the public URL to the receiver, which listens on a free port. And
it is the buyer's browser and Polar's sender: it signs the order's webhook with the endpoint's own secret.
"""

import re
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from app.demo.polar import Polar, create_app
from app.demo.polar.organization import SETUP_SCOPES
from app.receiver.signature import sign
from config.samples import make_sample
from config.settings import ReceiverSettings
from config.version import VERSION
from tests.support.builders import PRODUCT
from tests.support.catalogues import goods
from tests.support.paths import ROOT
from tests.support.processes import TOKEN, Credits, Running, eventually
from tests.support.servers import running
from tests.support.terminals import in_dialogue

pytestmark = pytest.mark.heavy  # it starts the whole service

PAGE = ROOT / "docs" / "quickstart.md"
PUBLIC_URL = "https://some-words.trycloudflare.com"
BUYER = "you@example.com"


def fences() -> list[tuple[str, str]]:
    """Return the page's fenced blocks: language and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the page's commands in order."""
    return [line for language, text in fences() if language != "text" for line in text.splitlines()]


def transcript() -> list[str]:
    """Return the lines that the page shows of the dialogue."""
    (text,) = [text for language, text in fences() if language == "text"]
    return text.splitlines()


def answers(standin: str) -> list[tuple[str, str]]:
    """Return the dialogue's questions with the page's answers; the stand-in in place of the sandbox."""
    asked = [line.rpartition(":") if "http" not in line else line.partition(": ") for line in transcript()]
    read = [(question, answer.strip()) for question, colon, answer in asked if is_question(question + colon)]
    instead = {"sandbox": standin}
    return [
        (question, TOKEN if "token" in question else instead.get(answer, answer)) for question, answer in read
    ]


def is_question(text: str) -> bool:
    return text.endswith((":", ": ")) and not text.startswith(("This will", " "))


@dataclass
class Reader:
    """Someone who follows the page: their folder, their service, and Polar."""

    folder: Path
    polar: Polar
    standin: str
    stack: ExitStack
    service: list[Running] = field(default_factory=list)

    @property
    def credits(self) -> Credits:
        """Return the command as this checkout has it; only the port is chosen for it."""
        return Credits(folder=self.folder, settings={"PORT": "0"})

    def follow(self, line: str) -> str:
        """Do what a line of the page says; return what a command printed."""
        words = shlex.split(line.replace("--server sandbox", f"--server {self.standin}"))
        match words:
            case ["uv", "tool", "install", "git+<url>"]:
                return self.credits.run("--version").stdout
            case ["mkdir", name, "&&", "cd", again] if name == again:
                self.folder = self.folder / name
                self.folder.mkdir()
            case ["cloudflared", "tunnel", "--url", url]:
                assert urlsplit(url).port == ReceiverSettings().port
            case ["credits", "init"]:
                status, shown = in_dialogue(self.credits, "init", answers=answers(self.standin))
                assert status == 0, shown
                return shown
            case ["credits", "up"]:
                self.service.append(self.stack.enter_context(self.credits.running("up")))
            case ["credits", *args]:
                done = self.credits.run(*args)
                assert done.returncode == 0, done.stdout + done.stderr
                return done.stdout
            case _:
                raise AssertionError(f"nobody knows how to follow: {line}")
        return ""

    def buy(self) -> None:
        """Buy the product: Polar sends the order's webhook to the endpoint's URL, which is the tunnel's."""
        (endpoint,) = self.polar.endpoints
        assert endpoint.url.startswith(f"{PUBLIC_URL}/")
        (buyer,) = self.polar.customers.values()
        body = make_sample("purchase", product=PRODUCT, customer=str(buyer.id))
        assert "order.paid" in endpoint.events
        tunnel = self.service[0].url() + urlsplit(endpoint.url).path
        delivery = str(uuid4())
        headers = sign(endpoint.secret, delivery, int(time.time()), body)
        assert httpx.post(tunnel, content=body, headers=headers, timeout=30).status_code == 202


@contextmanager
def reader() -> Iterator[Reader]:
    """Yield someone with an organization at Polar: a product and a token, no meter and no endpoint."""
    named = frozenset(re.findall(r"`(\w+:(?:read|write))`", PAGE.read_text()))
    assert named <= SETUP_SCOPES
    polar = Polar(token=TOKEN, scopes=named)  # a scope that the page forgets is missing
    polar.add_product(**goods("Starter pack"))
    polar.add_customer(email=BUYER)
    # A short path: that of a Unix socket has at most about a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="credits-") as folder, ExitStack() as stack:
        url = stack.enter_context(running(create_app(polar)))
        yield Reader(folder=Path(folder), polar=polar, standin=url, stack=stack)


def test_the_page_leads_from_an_empty_folder_to_the_first_credited_order() -> None:
    began = time.monotonic()
    printed: dict[str, str] = {}
    with reader() as one:
        for line in commands():
            if line.startswith("credits deliveries"):
                one.buy()
                eventually(lambda: one.polar.events)
            printed[line] = one.follow(line)
        assert float(one.polar.events[0]["metadata"]["units"]) == -100
        (endpoint,) = one.polar.endpoints
    dialogue = printed["credits init"].replace(one.standin, "sandbox")
    # A terminal may echo an answer's line break late, so only the texts are compared.
    assert [line for line in transcript() if line.strip() not in dialogue] == []
    assert printed["uv tool install git+<url>"].strip() == VERSION
    again = next(text for line, text in printed.items() if line.startswith("credits init --server"))
    assert "Everything is in place" in again
    assert "granted" in printed["credits deliveries"]
    assert "100 api_usage" in printed["credits deliveries"]
    balance = printed[f"credits balance --email {BUYER}"]
    assert re.search(r"^api_usage +100 +100", balance, re.MULTILINE), balance
    assert endpoint.secret not in "".join(printed.values())
    assert time.monotonic() - began < 600
