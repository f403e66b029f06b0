"""The storefront API keeps what its OpenAPI document promises: schemathesis tries the running service."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from tests.support.examples import IS_SEARCH, examples
from tests.support.paths import ROOT
from tests.support.storefronts import API_TOKEN, Storefront, storefront

CONFIG = ROOT / "tests" / "support" / "schemathesis.toml"
UNAVAILABLE = 503  # Redis and Polar can be asked here

Reached = set[tuple[str, str, int]]


@pytest.fixture
def shop(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Storefront]:
    with storefront(tmp_path, redis_url) as shop:
        yield shop


def schemathesis(url: str, folder: Path) -> Any:
    """Run schemathesis, which must find nothing; return what was sent and answered, as a HAR file has it."""
    har = folder / "schemathesis.har"
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={CONFIG}",
            "run",
            f"{url}/v1/openapi.json",
            f"--header=Authorization: Bearer {API_TOKEN}",
            f"--max-examples={examples(300)}",
            f"--report-har-path={har}",
            *([] if IS_SEARCH else ["--generation-deterministic"]),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)  # noqa: T201 - its summary, for who runs this with -s
    return json.loads(har.read_text())


def documented(document: Mapping[str, Any]) -> Reached:
    """Return method, path and status of each answer in the document."""
    return {
        (method.upper(), path, int(status))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for status in operation["responses"]
    }


def reached(har: Mapping[str, Any], document: Mapping[str, Any]) -> Reached:
    """Return the same of each answer that was given to a method of the document."""
    forms = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in document["paths"]}
    found: Reached = set()
    for entry in har["log"]["entries"]:
        sent = urlsplit(entry["request"]["url"]).path
        path = next((path for path, form in forms.items() if form.fullmatch(sent)), "")
        if entry["request"]["method"].lower() in document["paths"].get(path, ()):
            found.add((entry["request"]["method"], path, entry["response"]["status"]))
    return found


@pytest.mark.property
@pytest.mark.timeout(600)  # thousands of requests
def test_every_answer_is_documented_and_every_documented_answer_is_given(
    shop: Storefront, tmp_path: Path
) -> None:
    """It sends what the document allows and what it forbids, with the token, without, and with another."""
    document = httpx.get(f"{shop.url}/v1/openapi.json").json()
    expected = {one for one in documented(document) if one[2] != UNAVAILABLE}
    assert reached(schemathesis(shop.url, tmp_path), document) == expected
    assert "Traceback" not in shop.up.said
