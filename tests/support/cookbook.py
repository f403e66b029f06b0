"""docs/rules.md as its tests read it: each rules file in it, and the lines that say what it comes to."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from config.rules import Rules, parse_rules
from tests.support.paths import ROOT
from tests.support.recordings import payload
from workers.core.delivery import Status

COOKBOOK = ROOT / "docs" / "rules.md"

_HEADING = r"^#+ (?P<title>[^\n]*)$"
_FILE = r"^```yaml\n(?P<file>.*?)^```\n(?P<below>.*?)(?=^#|^```yaml|\Z)"
_LINE = re.compile(r"^- On .*(?:\n  .*)*", re.MULTILINE)
_CHANGES = r"(?: (?:with|and) `[\w.]+` = `[^`]+`)*"
_WEBHOOK = re.compile(rf"`(?P<name>\w+)`(?P<changes>{_CHANGES})")
_CHANGE = re.compile(r"`(?P<path>[\w.]+)` = `(?P<value>[^`]+)`")
_CLAIM = re.compile(rf"- On (?P<story>`\w+`{_CHANGES}(?:, then `\w+`{_CHANGES})*): (?P<result>.+)\.")
_RESULT = re.compile(r"(?P<end>nothing|failed) \(`(?P<reason>[^`]+)`\)")
_ENDS = {"nothing": Status.SKIPPED, "failed": Status.FAILED}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line: webhooks in a row, and what the last of them comes to."""

    line: str
    webhooks: tuple[bytes, ...]
    status: Status
    words: str

    def is_met(self, status: Status, reason: str) -> bool:
        """Say whether a delivery that ended so ended as the line says; ``…`` leaves open how words go on."""
        if status is not self.status:
            return False
        if status is Status.GRANTED:
            return _amounts(reason) == _amounts(self.words)
        return reason == self.words or (self.words[-1] == "…" and reason.startswith(self.words[:-1]))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One rules file of the document, under its heading, and what is claimed of it."""

    title: str
    text: str
    claims: tuple[Claim, ...]

    @cached_property
    def rules(self) -> Rules:
        """Return the rules in the file."""
        return parse_rules(self.text, f"{COOKBOOK.name} ({self.title})")


def recipes(document: str) -> Iterator[Recipe]:
    """Yield the rules files of a document in their order."""
    title = ""
    for found in re.finditer(f"{_HEADING}|{_FILE}", document, re.MULTILINE | re.DOTALL):
        if found["file"] is None:
            title = found["title"]
        else:
            claims = tuple(map(claim_in, _LINE.findall(found["below"])))
            yield Recipe(title=title, text=found["file"], claims=claims)


def claim_in(line: str) -> Claim:
    """Return what a line claims; ValueError if that cannot be read."""
    whole = " ".join(line.split())
    match = _CLAIM.fullmatch(whole)
    if match is None:
        raise ValueError(f"cannot be read as a claim: {whole}")
    result = _RESULT.fullmatch(match["result"])
    return Claim(
        line=whole,
        webhooks=tuple(_story(match["story"])),
        status=_ENDS[result["end"]] if result else Status.GRANTED,
        words=result["reason"] if result else match["result"],
    )


def _story(text: str) -> Iterator[bytes]:
    before: Mapping[str, Any] = {}
    for found in _WEBHOOK.finditer(text):
        body = json.loads(payload(found["name"]))
        if body["type"] == "order.refunded":  # of the order that came before
            body["data"] |= {key: before[key] for key in ("id", "customer_id", "product_id")}
        for change in _CHANGE.finditer(found["changes"]):
            _change(body, change["path"].split("."), json.loads(change["value"]))
        before = body["data"]
        yield json.dumps(body).encode()


def _change(body: dict[str, Any], path: list[str], value: Any) -> None:
    """Put ``value`` where an expression would see it at ``path``."""
    itself = body["type"].partition(".")[0]  # "order" in an order.paid: the data as a whole
    *above, last = path[1:] if path[0] == itself else path
    place = body["data"]
    for name in above:
        place = place[name]
    place[last] = value


def _amounts(words: str) -> list[str]:
    return sorted(re.sub(r"(?<=\d),(?=\d{3})", "", words).split(", "))


RECIPES = tuple(recipes(COOKBOOK.read_text()))
