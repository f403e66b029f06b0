"""What the documents say is executed as far as it can be."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer.core

from app.cli.root import root
from config.rules import parse_rules
from config.settings import Settings
from tests.support.paths import ROOT
from workers.embedded.server import _make_private

DEPLOYING = ROOT / "docs" / "deploying.md"
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


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


UNITS = sorted(
    line.rpartition("/bin/")[2]
    for document in DOCUMENTS
    for block in blocks(document, "ini")
    for line in block.splitlines()
    if line.startswith("ExecStart=")
)


@pytest.mark.parametrize(("document", "block"), YAML, ids=lambda value: getattr(value, "name", "block"))
def test_every_rules_file_shown_is_a_good_one(document: Path, block: str) -> None:
    assert parse_rules(block, document.name).rules


@pytest.mark.parametrize("line", [*COMMANDS, *UNITS])
def test_every_command_shown_can_be_parsed(line: str) -> None:
    words = shlex.split(line)[1:]
    group = typer.main.get_command(root)
    assert isinstance(group, typer.core.TyperGroup)
    command = group.commands[words[0]]
    with command.make_context(words[0], words[1:]) as context:
        assert context.info_name == words[0]


def test_the_documents_show_commands_and_rules() -> None:
    assert len(COMMANDS) > 5
    assert YAML
    assert UNITS


def test_every_command_has_an_example_in_its_help() -> None:
    group = typer.main.get_command(root)
    assert isinstance(group, typer.core.TyperGroup)
    without = [
        name for name, command in group.commands.items() if "Example: credits " not in (command.help or "")
    ]
    assert without == []


@pytest.mark.parametrize("document", ["docs/operations.md", ".env.example"])
def test_every_setting_is_told_of(document: str) -> None:
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    told = set(re.findall(r"\b[A-Z][A-Z_]+\b", (ROOT / document).read_text()))
    assert names - told == set()


def test_every_module_has_a_room_in_the_house() -> None:
    """By its own path or by its folder's; ``__init__`` and ``__main__`` are doors."""
    rooms = set(re.findall(r"`([\w/]+(?:\.py|/))`", (ROOT / "docs" / "architecture.md").read_text()))
    modules = [
        path.relative_to(ROOT)
        for folder in ("app", "workers", "config")
        for path in (ROOT / folder).rglob("*.py")
    ]
    homeless = [
        str(one) for one in modules if not {str(one), *(f"{folder}/" for folder in one.parents)} & rooms
    ]
    assert [one for one in homeless if not one.endswith("__.py")] == []


def test_the_folder_that_systemd_makes_is_one_that_the_embedded_redis_takes(tmp_path: Path) -> None:
    unit, *_ = blocks(DEPLOYING, "ini")
    told = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
    folder = tmp_path / told["StateDirectory"]
    folder.mkdir()
    folder.chmod(int(told.get("StateDirectoryMode", "0755"), base=8))
    _make_private(folder)
    assert f"CREDITS_DATA_DIR=/var/lib/{folder.name}\n" in blocks(DEPLOYING, "sh")


def test_no_unit_has_a_setting_of_which_a_command_by_hand_would_not_know() -> None:
    units = "".join(blocks(DEPLOYING, "ini"))
    assert set(re.findall(r"^Environment=(.*)$", units, re.MULTILINE)) == {"HOST=0.0.0.0 PORT=8000"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_make_targets_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text()))
    made = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert named
    assert {name for name in named if not re.search(rf"^{name}\s", made, re.MULTILINE)} == set()
