"""Parses the cookbook for its tests: each rules file in it, and the results claimed below it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from config.rules import Rules, parse_rules
from tests.support.builders import some_id
from tests.support.paths import ROOT
from tests.support.recordings import payload
from workers.core.delivery import Status
from workers.core.dispute_delivery import DISPUTE_LOST
from workers.core.instalments import INSTALMENT

PAGES = (ROOT / "docs" / "rules.md", *sorted((ROOT / "docs" / "cookbook").glob("*.md")))

# What the reconciler stores for a dispute in Polar's list; Polar sends no webhook for it.
LOST_DISPUTE = "lost_dispute"

# The next later instalments of the orders before it, at their date. Its subscription can be changed.
NEXT_INSTALMENT = "next_instalment"

_HEADING = r"^#+ (?P<title>[^\n]*)$"
_FILE = r"^```yaml\n(?P<file>.*?)^```\n(?P<below>.*?)(?=^#|^```yaml|\Z)"
_LINE = re.compile(r"^- On .*(?:\n  .*)*", re.MULTILINE)
_TABLE = re.compile(r"^\| what happens \| on \| what it comes to \|\n\|.*\n((?:^\|.*\n?)*)", re.MULTILINE)
_WARNINGS = re.compile(r"^`credits check` warns[^\n]*:\n\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CHANGES = r"(?: (?:with|and) `[\w.]+` = `[^`]+`)*"
_WEBHOOK = re.compile(rf"`(?P<name>\w+)`(?P<changes>{_CHANGES})")
_CHANGE = re.compile(r"`(?P<path>[\w.]+)` = `(?P<value>[^`]+)`")
_CLAIM = re.compile(rf"- On (?P<webhooks>`\w+`{_CHANGES}(?:, then `\w+`{_CHANGES})*): (?P<result>.+)\.")
_RESULT = re.compile(r"(?P<end>nothing|failed|waits) \(`(?P<reason>[^`]+)`\)")
_ENDS = {"nothing": Status.SKIPPED, "failed": Status.FAILED, "waits": Status.WAITING}
_LATER = ", then "


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line of the document: a sequence of webhooks, and the outcome of the last one."""

    line: str
    webhooks: tuple[bytes, ...]
    status: Status
    text: str
    later: str = ""
    """The later instalments that follow the last order."""

    def matches(self, status: Status, reason: str) -> bool:
        """Return whether an outcome is the claimed one; a text that ends in ``…`` is compared as a prefix."""
        if status is not self.status:
            return False
        if status is Status.GRANTED:
            return _amounts(reason) == _amounts(self.text)
        return reason == self.text or (self.text[-1] == "…" and reason.startswith(self.text[:-1]))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One rules file of a page, with the heading above it, and the claims and warnings below it."""

    title: str
    text: str
    claims: tuple[Claim, ...]
    warnings: tuple[str, ...]

    @cached_property
    def rules(self) -> Rules:
        """Return the parsed rules."""
        return parse_rules(self.text, "config/rules.yaml")


def recipes(document: str) -> Iterator[Recipe]:
    """Yield the recipes of a document in order."""
    title = ""
    for found in re.finditer(f"{_HEADING}|{_FILE}", document, re.MULTILINE | re.DOTALL):
        if found["file"] is None:
            title = found["title"]
        else:
            claims = tuple(map(claim_in, _lines(found["below"])))
            warnings = tuple("".join(_WARNINGS.findall(found["below"])).splitlines())
            yield Recipe(title=title, text=found["file"], claims=claims, warnings=warnings)


def _lines(below: str) -> Iterator[str]:
    """Yield the claims below a file: the lines, and each row of a table as such a line."""
    yield from _LINE.findall(below)
    for table in _TABLE.findall(below):
        for row in table.splitlines():
            _, webhooks, result = (cell.strip() for cell in row.strip("| ").split(" | "))
            yield f"- On {webhooks}: {result}."


def claim_in(line: str) -> Claim:
    """Parse a line into a claim; ValueError if it has another form."""
    whole = " ".join(line.split())
    match = _CLAIM.fullmatch(whole)
    if match is None:
        raise ValueError(f"not a claim: {whole}")
    result = _RESULT.fullmatch(match["result"])
    now, _, later = (match["result"], "", "") if result else match["result"].partition(_LATER)
    return Claim(
        line=whole,
        webhooks=tuple(_webhooks(match["webhooks"])),
        status=_ENDS[result["end"]] if result else Status.GRANTED,
        text=result["reason"] if result else now,
        later=_without_commas(later),
    )


def _webhooks(text: str) -> Iterator[bytes]:
    order: Mapping[str, Any] = {}
    for found in _WEBHOOK.finditer(text):
        body = _body(found["name"], order)
        if body["type"] == "order.refunded":  # it refunds the order before it
            body["data"] |= {key: order[key] for key in ("id", "customer_id", "product_id")}
        for change in _CHANGE.finditer(found["changes"]):
            _change(body, change["path"].split("."), json.loads(change["value"]))
        if found["name"] not in {LOST_DISPUTE, NEXT_INSTALMENT}:
            order = body["data"]
        yield json.dumps(body).encode()


def _body(name: str, order: Mapping[str, Any]) -> dict[str, Any]:
    if name == NEXT_INSTALMENT:
        return {"type": INSTALMENT, "data": {"subscription": {"status": "active", "ended_at": None}}}
    body: dict[str, Any] = _lost_dispute(order) if name == LOST_DISPUTE else json.loads(payload(name))
    return body


def _lost_dispute(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return the delivery that says that a dispute about the whole order was lost."""
    dispute = {"id": some_id(1), "order_id": order["id"], "status": "lost", "currency": order["currency"]}
    amounts = {"amount": order["net_amount"], "tax_amount": order["tax_amount"]}
    return {"type": DISPUTE_LOST, "data": {"dispute": dispute | amounts, "order": order}}


def _change(body: dict[str, Any], path: list[str], value: Any) -> None:
    """Set ``value`` where an expression sees ``path``."""
    itself = body["type"].partition(".")[0]  # "order" in an order.paid: the data as a whole
    *above, last = path[1:] if path[0] == itself else path
    place = body["data"]
    for name in above:
        place = place[name]
    place[last] = value


def _amounts(text: str) -> list[str]:
    return sorted(_without_commas(text).split(", "))


def _without_commas(text: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3})", "", text)


RECIPES = tuple(recipe for page in PAGES for recipe in recipes(page.read_text()))
