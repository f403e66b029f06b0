"""A command imports only what it needs: a large package more would delay each of its starts."""

import subprocess
import sys

import pytest

LARGE = {
    "cel_expr_python", "httpx", "jinja2", "prometheus_client", "pydantic", "redis", "rich", "rq", "starlette",
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
        (["serve"], STORED | {"starlette", "uvicorn"}),
        (["work"], STORED | {"cel_expr_python", "httpx", "yaml"}),
        (["rules", "schema"], {"cel_expr_python", "pydantic", "rich", "structlog", "yaml"}),
    ],
    ids=["credits", "status", "serve", "work", "rules schema"],
)
def test_a_command_imports_only_what_it_needs(command: list[str], needed: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_IMPORTED, *command, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage:")
    assert set(done.stderr.split()) == needed


PRINT_BUILT = """
import app.main, app.processes.worker
from config.settings import ReceiverSettings
from workers.core.views import View

shapes = [View, ReceiverSettings]
for shape in shapes:
    shapes += shape.__subclasses__()
print(len(shapes), *(shape.__name__ for shape in shapes if shape.__pydantic_complete__))
"""


def test_no_shape_is_built_before_it_is_needed() -> None:
    """Pydantic would take as long to build them all as to import a large package."""
    done = subprocess.run([sys.executable, "-c", PRINT_BUILT], capture_output=True, text=True, check=True)
    count, *built = done.stdout.split()
    assert int(count) > 30
    assert built == ["_Webhook"]  # when a generic shape gets its type, pydantic builds the generic one
