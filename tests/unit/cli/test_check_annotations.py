"""``credits check --format github``: the commands that GitHub Actions turns into annotations."""

from pathlib import Path

import pytest

from app.cli.check_annotations import annotations
from workers.core.findings import FilePlace, Finding


def place(file: str) -> FilePlace:
    return FilePlace(file=file, line=17, column=9)


def test_a_problem_in_the_rules_is_an_annotation_of_its_line() -> None:
    found = Finding(level="error", what="rules", detail="unknown meter", place=place("config/rules.yaml"))
    assert list(annotations([found])) == [
        "::error file=config/rules.yaml,line=17,col=9,title=credits check%3A rules::unknown meter"
    ]


def test_a_file_in_this_folder_is_named_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = Finding(level="warning", what="rules", detail="over", place=place(f"{tmp_path}/a,b.yaml"))
    assert list(annotations([found])) == [
        "::warning file=a%2Cb.yaml,line=17,col=9,title=credits check%3A rules::over"
    ]


def test_other_findings_have_no_place_and_what_is_well_is_no_annotation() -> None:
    found = [
        Finding(level="error", what="token", detail="100 % wrong\nand more"),
        Finding(level="ok", what="redis", detail="::error::not an annotation"),
    ]
    assert list(annotations(found)) == [
        "::error title=credits check%3A token::100 %25 wrong%0Aand more",
        "ok redis: ::error::not an annotation",
    ]
