"""Finds the fields in an expression's text, and the operands of its ``&&``, to explain results."""

import re
from collections.abc import Collection
from typing import NamedTuple

_RAW = r"""[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
_QUOTED = (
    r"""(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}"""
    r"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
)
_SKIPPED = rf"{_RAW}|{_QUOTED}|//[^\n]*"  # strings and comments
_NOT_CALLED = r"(?!\w|\s*\()"  # a name before a parenthesis is a function
_STEP = rf"""\s*(?:\.\s*(?:[A-Za-z_]\w*{_NOT_CALLED}|`[^`\n]*`)|\[\s*(?:"[^"\\\n]*"|'[^'\\\n]*')\s*\])"""
_KEY = re.compile(r"""[A-Za-z_]\w*|`(?P<ticked>[^`]*)`|"(?P<double>[^"]*)"|'(?P<single>[^']*)'""")
_JOINT = re.compile(rf"{_SKIPPED}|`[^`\n]*`|&&|\|\||[?(){{}}\[\]]", re.DOTALL)
_PROBE = re.compile(rf"{_SKIPPED}|\bhas\s*\((?P<probed>[^()]*)\)", re.DOTALL)


class Reference(NamedTuple):
    """A field that an expression uses: its text as written, and the keys that lead to it."""

    text: str
    keys: tuple[str, ...]


def references_in(text: str, names: Collection[str]) -> tuple[Reference, ...]:
    """Return the fields of the variables ``names`` that ``text`` uses: each once, in order of appearance."""
    reference = rf"(?<![\w.`])(?P<name>{'|'.join(names)})(?!\w)(?P<steps>(?:{_STEP})*)"
    found: dict[Reference, None] = {}
    for match in re.finditer(rf"{_SKIPPED}|{reference}", text, re.DOTALL):
        if match["name"]:
            keys = (match["name"], *map(_key, _KEY.finditer(match["steps"])))
            found[Reference(re.sub(r"\s*([.\[\]])\s*", r"\1", match[0]), keys)] = None
    return tuple(found)


def probed_references(text: str, names: Collection[str]) -> tuple[Reference, ...]:
    """Return the fields that ``text`` checks with ``has(...)``; they may therefore be absent."""
    probes = (match["probed"] for match in _PROBE.finditer(text) if match["probed"])
    return tuple(reference for probe in probes for reference in references_in(probe, names))


def conjuncts(text: str) -> tuple[str, ...]:
    """Return the operands of the ``&&`` outside all brackets, or ``text`` itself if there is none."""
    parts, begin, depth = [], 0, 0
    for match in _JOINT.finditer(text):
        mark = match[0]
        depth += (mark in "([{") - (mark in ")]}")
        if depth == 0 and mark in ("||", "?"):
            return (text,)  # || and ? bind less tightly than &&
        if depth == 0 and mark == "&&":
            parts.append(text[begin : match.start()])
            begin = match.end()
    return tuple(part.strip() for part in [*parts, text[begin:]])


def one_line(text: str) -> str:
    """Return ``text`` on one line, with single spaces."""
    return " ".join(text.split())


def _key(match: re.Match[str]) -> str:
    return next((one for one in match.groups() if one is not None), match[0])
