"""Checks that nothing that is read is ever executed, and that the lock covers everything we install.

Ruff's S rules refuse eval, exec, pickle, marshal, yaml.load and shells (`make check`). These tests add what
the rules leave out: nobody silences them, nobody goes around them, RQ reads JSON, and the lock is complete.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SOURCES = [
    ROOT / "credit_granter.py",
    *sorted(path for folder in ("app", "workers", "config") for path in (ROOT / folder).rglob("*.py")),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "constraints.txt").read_text()

# Each of these executes, or may execute, what it reads.
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
    """Yield each call with the source text of the function called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def rq_calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call that creates an RQ object, or initializes a subclass of an RQ class."""
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


def test_ruff_checks_all_shipped_code_for_unsafe_calls() -> None:
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert not [rule for rule in lint["ignore"] if rule.startswith("S")]
    ignored = lint["per-file-ignores"].items()
    assert {path for path, rules in ignored if any(rule.startswith("S") for rule in rules)} == {"tests/**"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_can_execute_what_it_reads(path: Path) -> None:
    text = path.read_text()
    assert not imported(path) & NEVER_IMPORTED
    assert not {name for name, _ in calls(ast.parse(text))} & NEVER_CALLED
    assert not NEVER_SILENCED.findall(text)


def test_every_rq_object_reads_json() -> None:
    """RQ's default is pickle."""
    made = [(path, *one) for path in SOURCES for one in rq_calls(ast.parse(path.read_text()))]
    assert {name for _, name, _ in made} == {"Queue", "GrantWorker"}
    for path, _, call in made:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("serializer") == "JSONSerializer", f"{path}:{call.lineno}"


def test_yaml_is_parsed_and_never_constructed() -> None:
    """Only the parts of PyYAML that make nodes are used, so no tag can construct an object."""
    users = {path.name: path.read_text() for path in SOURCES if "yaml" in imported(path)}
    assert users.keys() == {"yaml_source.py"}
    (text,) = users.values()
    used = set(re.findall(r"\byaml\.(\w+)", text)) | set(re.findall(r"from yaml(?:\.\w+)? import (.+)", text))
    assert used
    assert not {name for name in used if re.search("load|Constructor", name)} - {"SafeLoader", "CSafeLoader"}


def normal(name: str) -> str:
    """Return a package's name as package indexes normalize it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    """Return each package's block in the lock file."""
    blocks = re.split(r"^(?=\w)", LOCK.replace("\\\n", " "), flags=re.MULTILINE)
    return {normal(block.split("==")[0]): block for block in blocks if "==" in block}


def required() -> set[str]:
    """Return the names of all packages in pyproject.toml: to run, to develop and to build."""
    project = PROJECT["project"]
    lines = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
        *PROJECT["build-system"]["requires"],
    ]
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines}  # type: ignore[index] # each begins with one


def test_the_lock_names_each_dependency() -> None:
    assert required() - locked().keys() == set()


def test_each_locked_package_has_one_version_and_hashes() -> None:
    assert len(locked()) > 50
    for name, block in locked().items():
        version, *rest = block.split()
        assert re.fullmatch(r"[\w.-]+==[\w.+]+", version), name
        hashes = [one for one in rest if one.startswith("--hash=")]
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), name


def test_the_lock_contains_no_local_paths_or_urls() -> None:
    assert not re.findall(r"^(?!#).*(?:://|\s@\s|file:|--(?!hash=)\S+).*$", LOCK, re.MULTILINE)
    assert str(Path.home()) not in LOCK


def test_make_installs_and_builds_with_locked_packages_only() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = re.findall(r"^\t@\$\(PIP\) (.+)$", makefile, re.MULTILINE)
    assert installs == [
        "--require-hashes --only-binary :all: --requirement constraints.txt",
        "--no-deps --no-build-isolation --no-index --editable .",
    ]
