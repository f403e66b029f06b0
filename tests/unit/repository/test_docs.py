"""Checks that what the documents show is correct: rules, commands, settings, links, folders, make targets."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from app.cli.commands import COMMANDS as TABLE
from app.cli.root import import_command
from config.rules import Trigger, parse_rules
from config.rules.loader import FILE_KEYS
from config.rules.rule_reader import RULE_KEYS
from config.settings import SETTING_NAMES
from tests.support.commands import parse_command
from tests.support.paths import ROOT
from workers.monitoring.alerts import AlertKind

ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(document: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    return [text for fenced, text in found if fenced == language]


YAML = [(document, block) for document in DOCUMENTS for block in blocks(document, "yaml")]
COMMANDS = sorted(
    {
        line
        for document in DOCUMENTS
        for block in blocks(document, "")
        for line in block.splitlines()
        if line.startswith("credits ")
    }
)


@pytest.mark.parametrize(("document", "block"), YAML, ids=lambda value: getattr(value, "name", "block"))
def test_every_rules_file_shown_can_be_used(document: Path, block: str) -> None:
    rules = parse_rules(block, document.name)
    assert rules.rules or rules.offers


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_shown_can_be_parsed(line: str) -> None:
    parse_command(shlex.split(line))


def test_the_documents_show_commands_and_rules() -> None:
    assert len(COMMANDS) > 5
    assert YAML


def test_every_command_has_an_example_in_its_help() -> None:
    assert [name for name in TABLE if "Example: credits " not in (import_command(name).help or "")] == []


@pytest.mark.parametrize("document", ["docs/operations/settings.md", ".env.example"])
def test_every_setting_is_documented(document: str) -> None:
    documented = set(re.findall(r"\b[A-Z][A-Z_]+\b", (ROOT / document).read_text()))
    assert set(SETTING_NAMES) - documented == set()


@pytest.mark.parametrize("name", [*Trigger, *RULE_KEYS, *FILE_KEYS])
def test_every_trigger_and_every_key_of_the_rules_file_is_documented(name: str) -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "rules.md").read_text(), re.MULTILINE)
    assert any(f"`{name}`" in row for row in rows)


def test_the_architecture_page_covers_every_module_and_names_only_files_that_exist() -> None:
    """A module is covered by its own path or by that of a folder above it."""
    named = set(re.findall(r"`((?:app|workers|config|tests|bench)/[\w./]*)`", ARCHITECTURE.read_text()))
    assert [path for path in named if not (ROOT / path).exists()] == []
    modules = [
        path.relative_to(ROOT)
        for package in ("app", "workers", "config")
        for path in (ROOT / package).rglob("*.py")
        if not path.name.endswith("__.py")
    ]
    covered = [one for one in modules if {str(one), *(f"{folder}/" for folder in one.parents)} & named]
    assert set(modules) == set(covered)


def test_every_log_line_that_the_documents_quote_is_logged() -> None:
    pages = " ".join(page.read_text() for page in DOCUMENTS)
    quoted = set(re.findall(r"\blogs?(?: line)?\s`([^`]+)`", pages))
    modules = [path for package in ("app", "workers", "config") for path in (ROOT / package).rglob("*.py")]
    source = "".join(path.read_text() for path in modules)
    assert len(quoted) > 4
    assert {line for line in quoted if f'"{line}"' not in source} == set()


def test_the_alerts_page_leads_from_the_words_of_an_alert_to_a_command() -> None:
    page = (ROOT / "docs" / "operations" / "alerts.md").read_text()
    table = page.partition("| the alert says |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", table, re.MULTILINE)
    words = [re.findall(r"`([^`]+)`", said) for said, _ in rows]
    modules = (
        "monitoring/alerts",
        "core/outbox_state",
        "store/arrivals",
        "store/losses",
        "operations/check/endpoint",
    )
    source = "".join((ROOT / "workers" / f"{name}.py").read_text() for name in modules)
    assert len(rows) >= len(AlertKind)
    assert [one for said in words for one in said if one not in source] == []


def test_the_architecture_page_draws_the_layers_that_are_checked() -> None:
    """Each layer is a line of the drawing, from the top down, as in the import contracts."""
    drawing, *_ = blocks(ARCHITECTURE, "")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if contract["type"] == "layers" and "containers" in contract:
            part = drawing[f"\n{drawing}".index("\n" + contract["containers"][0]) :]
            lines = [set(re.findall(r"[a-z_]+", line.replace(".py", ""))) for line in part.splitlines()]
            layers = [set(layer.split(" | ")) for layer in contract["layers"]]
            assert [layer for layer in layers if not any(layer <= line for line in lines)] == []
            places = [next(n for n, line in enumerate(lines) if layer <= line) for layer in layers]
            assert places == sorted(places)


def test_the_tests_that_the_reliability_page_names_exist() -> None:
    named = re.findall(r"`(\w+/[\w/]*(?:\.py)?)`", (ROOT / "docs" / "reliability.md").read_text())
    assert len(named) > 20
    assert [path for path in named if not (ROOT / "tests" / path).exists()] == []


def anchors(document: Path) -> set[str]:
    """Return what GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    broken = []
    for path, anchor in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", document.read_text()):
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_named_exists(document: str) -> None:
    named = set(re.findall(r"`make ([a-z-]+)`", (ROOT / document).read_text()))
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert named
    assert {name for name in named if not re.search(rf"^{name}\s", printed, re.MULTILINE)} == set()
