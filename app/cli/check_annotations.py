"""Writes the findings of ``credits check`` as annotations of GitHub Actions."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from workers.core.findings import Finding


def annotations(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield a line for each finding: an annotation, or plain text where a check passed."""
    for one in findings:
        if one.level == "ok":
            yield f"ok {one.what}: {one.detail}"
        else:
            yield f"::{one.level} {_properties(one)}::{_escaped(one.detail)}"


def _properties(one: Finding) -> str:
    found = {}
    if place := one.place:
        found = {"file": _relative(place.file), "line": str(place.line), "col": str(place.column)}
    found["title"] = f"credits check: {one.what}"
    return ",".join(f"{name}={_escaped_property(value)}" for name, value in found.items())


def _relative(file: str) -> str:
    """Return a path as GitHub looks for it: from the folder of the repository."""
    path = Path(file).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
