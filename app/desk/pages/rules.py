"""The rules in force: their file, what each has given in 30 days, and what they make of a webhook."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from app.desk.errors import DeskError
from app.desk.page import Shown, Visit
from app.desk.rules_file import ReadRules
from config.samples import SAMPLES, make_sample
from config.wording import quoted
from workers.operations.explain.explanation import Explanation
from workers.operations.explain.lookup import explain_body
from workers.store.clock import redis_now
from workers.store.days import read_days
from workers.store.rules_note import RulesNote, read_rules_note

_DAYS = 30
_MOST_LINES = 3000


class RuleRow(Struct, frozen=True, kw_only=True):
    """A rule or an offer, and what it gave, by meter."""

    name: str
    kind: str
    given: Mapping[str, float]


class FileLine(Struct, frozen=True, kw_only=True):
    """A line of the file, and what is wrong in it."""

    number: int
    text: str
    problems: Sequence[str] = ()


class RulesPage(Struct, frozen=True, kw_only=True):
    """What the page of the rules shows."""

    note: RulesNote
    path: str
    version: str
    rows: Sequence[RuleRow]
    lines: Sequence[FileLine]
    problems: Sequence[str]
    """Those that belong to no line."""
    warnings: Sequence[str]
    samples: Sequence[str]
    tried: str
    """The sample or the delivery that was tried."""
    sample: str
    explanation: Explanation | None


def gather(visit: Visit) -> Shown:
    """Gather the page; a query may name a sample or a stored delivery to try the rules on."""
    stores, read = visit.parts.stores, visit.parts.rules.current()
    text = _read_file(visit)
    by_line, rest = _by_line(read.problems)
    page = RulesPage(
        note=read_rules_note(stores.redis),
        path=str(visit.parts.settings.rules_path),
        version=read.rules.digest,
        rows=_rows(visit, read),
        lines=[
            FileLine(number=number, text=line, problems=by_line.get(number, ()))
            for number, line in enumerate(text.splitlines()[:_MOST_LINES], start=1)
        ],
        problems=rest,
        warnings=[str(one) for one in read.rules.warnings],
        samples=tuple(SAMPLES),
        tried=visit.get("delivery") or visit.get("sample"),
        sample=visit.get("sample"),
        explanation=_try(visit, read),
    )
    return Shown(template="rules.html", title="Rules", section="rules", model=page)


def _try(visit: Visit, read: ReadRules) -> Explanation | None:
    sample, delivery_id = visit.get("sample"), visit.get("delivery")
    if delivery_id:
        body = visit.parts.stores.deliveries.body(delivery_id)
        if not body:
            raise DeskError(404, f"No body of a delivery {quoted(delivery_id)} is kept.")
        return explain_body(body, read.rules, None)
    if not sample:
        return None
    if sample not in SAMPLES:
        raise DeskError(400, f"There is no sample {quoted(sample)}.")
    return explain_body(make_sample(sample), read.rules, None)


def _rows(visit: Visit, read: ReadRules) -> list[RuleRow]:
    redis = visit.parts.stores.redis
    given: dict[str, dict[str, float]] = {}
    for day in read_days(redis, redis_now(redis), _DAYS):
        for (rule, meter), units in day.by_rule.items():
            of_rule = given.setdefault(rule, {})
            of_rule[meter] = of_rule.get(meter, 0.0) + units
    rows = [RuleRow(name=one.name, kind="rule", given=given.pop(one.name, {})) for one in read.rules.rules]
    rows += [RuleRow(name=name, kind="offer", given=given.pop(name, {})) for name in read.rules.offers]
    return rows + [RuleRow(name=name, kind="no longer in the file", given=one) for name, one in given.items()]


def _read_file(visit: Visit) -> str:
    try:
        return visit.parts.settings.rules_path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # the problems say why


def _by_line(problems: Sequence[str]) -> tuple[Mapping[int, list[str]], list[str]]:
    """Return the problems by the line of the file that they name, and those that name none."""
    found: dict[int, list[str]] = {}
    rest: list[str] = []
    for problem in problems:
        if place := re.match(r"[^\n]*?:(\d+):(\d+): ", problem):
            found.setdefault(int(place[1]), []).append(problem[place.end() :])
        else:
            rest.append(problem)
    return found, rest
