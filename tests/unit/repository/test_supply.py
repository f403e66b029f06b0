"""What we run is what was locked, and nothing that is read is ever run.

Ruff's S rules refuse calls of eval, exec, pickle, marshal, yaml.load and shells (`make check`). Here is what
they leave out: that nobody silences them, ways around them, RQ's own default, and the lock.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SOURCES = sorted(path for folder in ("app", "workers", "config") for path in (ROOT / folder).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "constraints.txt").read_text()

# Each runs, or may run, what it reads.
NEVER_IMPORTED = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "code",
    "codeop",
    "runpy",
}
NEVER_CALLED = {"eval", "exec", "compile", "__import__"}
# S102 exec, S3.. pickle, marshal and eval, S506 yaml.load, S6.. shells.
NEVER_SILENCED = re.compile(r"noqa:.*\b(S102|S30[127]|S506|S602|S604|S605)\b")
RQ_CLASSES = {"Queue", "Worker", "SimpleWorker", "Job"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call with what is called, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def rq_calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call that makes an object of RQ's, or the one that a class of ours is built on."""
    yield from ((name, call) for name, call in calls(tree) if name.split(".")[0] in RQ_CLASSES)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and RQ_CLASSES & set(map(ast.unparse, node.bases)):
            yield from ((node.name, call) for name, call in calls(node) if name == "super().__init__")


def imported(path: Path) -> set[str]:
    """Return the top-level modules that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_ruff_looks_for_what_runs_what_it_reads_in_all_that_we_ship() -> None:
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert not [rule for rule in lint["ignore"] if rule.startswith("S")]
    assert set(lint["per-file-ignores"]) == {"tests/**"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_can_run_what_it_reads(path: Path) -> None:
    text = path.read_text()
    assert not imported(path) & NEVER_IMPORTED
    assert not {name for name, _ in calls(ast.parse(text))} & NEVER_CALLED
    assert not NEVER_SILENCED.findall(text)


def test_every_rq_object_reads_json() -> None:
    """Its default is pickle."""
    made = [(path, *one) for path in SOURCES for one in rq_calls(ast.parse(path.read_text()))]
    assert {name for _, name, _ in made} == {"Queue", "Job.create", "GrantWorker"}
    for path, _, call in made:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("serializer") == "JSONSerializer", f"{path}:{call.lineno}"


def test_yaml_is_parsed_and_never_constructed() -> None:
    """Of PyYAML only what makes nodes: whatever a tag says, no object comes of it."""
    users = {path.name: path.read_text() for path in SOURCES if "yaml" in imported(path)}
    assert users.keys() == {"yaml_source.py"}
    (text,) = users.values()
    used = set(re.findall(r"\byaml\.(\w+)", text)) | set(re.findall(r"from yaml(?:\.\w+)? import (.+)", text))
    assert used
    assert not {name for name in used if re.search("load|Constructor", name)} - {"SafeLoader", "CSafeLoader"}


def normal(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    """Return what stands in the lock for each package."""
    blocks = re.split(r"^(?=\w)", LOCK.replace("\\\n", " "), flags=re.MULTILINE)
    return {normal(block.split("==")[0]): block for block in blocks if "==" in block}


def required() -> set[str]:
    """Return the names that pyproject.toml asks for, to run, to develop and to build."""
    project = PROJECT["project"]
    lines = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
        *PROJECT["build-system"]["requires"],
    ]
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines}  # type: ignore[index] # each begins with one


def test_the_lock_names_each_dependency() -> None:
    assert required() - locked().keys() == set()


def test_everything_in_the_lock_is_one_version_with_the_hashes_of_its_files() -> None:
    assert len(locked()) > 50
    for name, block in locked().items():
        version, *rest = block.split()
        assert re.fullmatch(r"[\w.-]+==[\w.+]+", version), name
        hashes = [one for one in rest if one.startswith("--hash=")]
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), name


def test_the_lock_says_nothing_of_the_machine_that_wrote_it() -> None:
    assert not re.findall(r"^(?!#).*(?:://|\s@\s|file:|--(?!hash=)\S+).*$", LOCK, re.MULTILINE)
    assert str(Path.home()) not in LOCK


def test_make_installs_what_is_locked_and_builds_with_it() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = re.findall(r"^\t@\$\(PIP\) (.+)$", makefile, re.MULTILINE)
    assert installs == [
        "--require-hashes --only-binary :all: --requirement constraints.txt",
        "--no-deps --no-build-isolation --no-index --editable .",
    ]
