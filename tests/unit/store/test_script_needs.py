"""A script names the files of shared functions that it uses, and no others: each run makes all anew."""

import re
from importlib.resources import files
from itertools import chain

import pytest

from workers.store.scripts import load_script

TEXTS = {
    one.name.removesuffix(".lua"): one.read_text()
    for one in (files("workers.store") / "lua").iterdir()
    if one.name.endswith(".lua")
}
NEEDS = "-- needs: "
NO_CODE = re.compile(r"--[^\n]*|'[^'\n]*'|\"[^\"\n]*\"")
DEFINED = r"local (?:function )?([\w, ]+)"
USED = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def needs_of(name: str) -> list[str]:
    first_line = TEXTS[name].partition("\n")[0]
    return first_line.removeprefix(NEEDS).split(", ") if first_line.startswith(NEEDS) else []


SHARED = {"shared", *chain.from_iterable(map(needs_of, TEXTS))}
SCRIPTS = sorted(TEXTS.keys() - SHARED)


def code_of(name: str) -> str:
    return NO_CODE.sub("", TEXTS[name])


def names_in(lists: list[str]) -> set[str]:
    return {name for one in lists for name in re.split(", *", one.strip())}


def shared_by(name: str) -> set[str]:
    """Return what a file defines for those that need it."""
    return names_in(re.findall(f"(?m)^{DEFINED}", code_of(name)))


@pytest.mark.parametrize("name", sorted(TEXTS.keys() - {"shared"}))
def test_a_file_needs_what_it_uses(name: str) -> None:
    code = code_of(name)
    foreign = set(USED.findall(code)) - names_in(re.findall(DEFINED, code))
    assert needs_of(name) == sorted(one for one in SHARED - {"shared"} if foreign & shared_by(one))


def test_no_two_files_share_functions_of_the_same_name() -> None:
    names = sorted(chain.from_iterable(map(shared_by, SHARED)))
    assert names == sorted(set(names))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_follows_each_file_that_it_needs_once(name: str) -> None:
    text, at = load_script(name), 0
    while at < len(text):
        [found] = [one for one in TEXTS if text.startswith(TEXTS[one], at)]
        assert all(text.find(TEXTS[one], 0, at) >= 0 for one in needs_of(found))
        assert text.count(TEXTS[found]) == 1
        at += len(TEXTS[found])
    assert text.startswith(TEXTS["shared"])
    assert text.endswith(TEXTS[name])
