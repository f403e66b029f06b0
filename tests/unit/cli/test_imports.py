"""A command imports only what it needs: a large package more would delay each of its starts."""

import subprocess
import sys

import pytest

LARGE = {
    "cel_expr_python", "httpx", "jinja2", "prometheus_client", "pydantic", "pydantic_core", "redis", "rich",
    "rq", "starlette", "structlog", "uvicorn", "yaml",
}  # fmt: skip
STORED = {"redis", "rich"}  # what every command needs that reads Redis

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
        (["grants"], STORED),
        (["deliveries"], STORED),
        (["outbox"], STORED),
        (["serve"], STORED | {"pydantic_core", "starlette", "structlog", "uvicorn"}),
        (
            ["work"],
            STORED | {"cel_expr_python", "httpx", "pydantic", "pydantic_core", "rq", "structlog", "yaml"},
        ),
        (["rules", "schema"], {"cel_expr_python", "rich", "yaml"}),
    ],
    ids=["credits", "status", "grants", "deliveries", "outbox", "serve", "work", "rules schema"],
)
def test_a_command_imports_only_what_it_needs(command: list[str], needed: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_IMPORTED, *command, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage:")
    assert set(done.stderr.split()) == needed


PRINT_IMPORTED_BY_ALL = """
import sys, app.cli
print(*(name for name in sys.modules if name.partition(".")[0] in {"app", "config", "workers"}))
"""


def test_what_is_imported_for_every_command_is_a_table_of_their_names() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_IMPORTED_BY_ALL], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= {
        "app", "app.cli", "app.cli.commands", "app.cli.root", "app.cli.streams", "config", "config.version",
    }  # fmt: skip


PRINT_BUILT = """
import app.main, app.processes.background, app.processes.worker
from workers.core.views import View

shapes = [View]
for shape in shapes:
    shapes += shape.__subclasses__()
print(len(shapes), *(shape.__name__ for shape in shapes if shape.__pydantic_complete__))
"""


def test_no_shape_is_built_before_it_is_needed() -> None:
    """Pydantic would take as long to build them all as to import a large package."""
    done = subprocess.run([sys.executable, "-c", PRINT_BUILT], capture_output=True, text=True, check=True)
    count, *built = done.stdout.split()
    assert int(count) > 10
    assert built == []


PRINT_OPERATIONS = """
import sys, app.processes.worker
print(*(name for name in sys.modules if name.startswith("workers.operations.")))
"""


def test_a_worker_waits_for_nothing_that_only_the_background_process_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_OPERATIONS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["workers.operations.forget"]
