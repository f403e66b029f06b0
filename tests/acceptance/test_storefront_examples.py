"""The examples of the storefront's page work, in Python and in TypeScript, with the running service."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from standardwebhooks import Webhook

from tests.support.builders import CUSTOMER, ORDER
from tests.support.paths import ROOT
from tests.support.storefronts import API_TOKEN, EXTERNAL_ID, SKIPPED_ORDER, Storefront, storefront

PAGE = ROOT / "docs" / "storefront.md"
PROJECT = ROOT / "tests" / "typescript"
EVENTS_SECRET = "whsec_b2YtdGhlLXRlc3RzLW9mLXRoZS1wYWdl"
EVENT = json.dumps(
    {
        "type": "credit.granted",
        "timestamp": "2026-11-29T07:00:00.123Z",
        "data": {"customer_id": CUSTOMER, "meter": "api_usage", "credits": 100},
    }
)

Call = Callable[..., Any]


@pytest.fixture
def shop(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Storefront]:
    with storefront(tmp_path, redis_url) as shop:
        yield shop


def example(language: str) -> str:
    """Return all of the page's code in a language: later blocks use what earlier ones define."""
    form = rf"^```{language}\n(.*?)^```$"
    return "\n".join(re.findall(form, PAGE.read_text(), re.MULTILINE | re.DOTALL))


def environment(shop: Storefront) -> dict[str, str]:
    return {
        "CREDITS_API_URL": shop.url,
        "CREDITS_API_TOKEN": API_TOKEN,
        "CREDITS_EVENTS_SECRET": EVENTS_SECRET,
    }


def signed_event(secret: str = EVENTS_SECRET) -> dict[str, str]:
    """Return the headers of a credit event that is sent now."""
    id_, now = "credits:order:1:api_usage", datetime.now(UTC)
    signature = Webhook(secret).sign(id_, now, EVENT)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }


def test_the_python_examples_work(shop: Storefront, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(shop).items():
        monkeypatch.setenv(name, value)
    page: dict[str, Any] = {}
    exec(example("python"), page)  # noqa: S102 - our own documentation
    assert page["success_text"](ORDER) == "Thank you! You have 100 api_usage more."
    assert page["success_text"](SKIPPED_ORDER) == "Thank you for your order."
    assert page["credits_left"](EXTERNAL_ID, "api_usage") == "100 credits remaining"
    assert page["credits_left"]("nobody", "api_usage") == "0 credits remaining"
    assert page["thank"](EXTERNAL_ID, "invitation-7") is True
    assert page["thank"](EXTERNAL_ID, "invitation-7") is True
    assert page["thank"]("nobody", "invitation-7") is False
    assert page["receive"](EVENT.encode(), signed_event()) == 204
    assert page["receive"](EVENT.encode(), signed_event("whsec_" + "eA" * 12)) == 403
    assert len(shop.polar.events) == 2  # of the order and of the invitation


@pytest.mark.heavy  # installs a compiler
def test_the_typescript_examples_are_typed_and_work(shop: Storefront, tmp_path: Path) -> None:
    built = built_example(tmp_path)
    results = call_typescript(
        built,
        environment(shop),
        ["successText", ORDER],
        ["successText", SKIPPED_ORDER],
        ["creditsLeft", EXTERNAL_ID, "api_usage"],
        ["creditsLeft", "nobody", "api_usage"],
        ["thank", EXTERNAL_ID, "invitation-7"],
        ["thank", EXTERNAL_ID, "invitation-7"],
        ["thank", "nobody", "invitation-7"],
        ["receive", EVENT, signed_event()],
        ["receive", EVENT, signed_event("whsec_" + "eA" * 12)],
    )
    assert results == [
        "Thank you! You have 100 api_usage more.",
        "Thank you for your order.",
        "100 credits remaining",
        "0 credits remaining",
        True,
        True,
        False,
        204,
        403,
    ]
    assert len(shop.polar.events) == 2  # of the order and of the invitation


def built_example(folder: Path) -> Path:
    """Compile the page's TypeScript; return the folder of the result. Skip the test without node and npm."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (node 20 or newer)")
    project = folder / "typescript"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("node_modules"))
    (project / "storefront.ts").write_text(example("typescript"))
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=project)
    run("node", "node_modules/typescript/bin/tsc", cwd=project)
    return project / "built"


def call_typescript(built: Path, env: Mapping[str, str], *calls: list[Any]) -> Any:
    """Call functions of the examples, each with its arguments; return their results."""
    printed = run("node", "call.js", json.dumps(calls), cwd=built, env=env)
    return json.loads(printed.splitlines()[-1])


def run(*command: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
