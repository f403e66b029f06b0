"""A command imports only what it needs: a large package more would delay each of its starts."""

import subprocess
import sys

import pytest

LARGE = {
    "httpx", "prometheus_client", "pydantic", "redis", "rich", "rq", "starlette",
    "structlog", "uvicorn", "yaml",
}  # fmt: skip
STORED = {"pydantic", "redis", "rich", "rq", "structlog"}  # what everything needs that reads Redis

PRINT_IMPORTED = f"""
import sys
from app.cli import main
try:
    main()
finally:
    print(*sys.modules.keys() & {LARGE}, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ([], set()),
        (["status"], STORED),
        (["serve"], STORED | {"prometheus_client", "starlette", "uvicorn"}),
        (["work"], STORED | {"yaml"}),
        (["rules", "schema"], {"pydantic", "rich", "structlog", "yaml"}),
    ],
    ids=["credits", "status", "serve", "work", "rules schema"],
)
def test_a_command_imports_only_what_it_needs(command: list[str], needed: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_IMPORTED, *command, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage:")
    assert set(done.stderr.split()) == needed
