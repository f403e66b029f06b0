"""A fact of the ledger may be sealed, so scripts reach facts only by functions that know that."""

import re
from importlib.resources import files

import pytest

FOLDER = files("workers.store") / "lua"
THOSE_THAT_KNOW = {"facts.lua", "seal.lua"}
SCRIPTS = sorted(
    one.name for one in FOLDER.iterdir() if one.name.endswith(".lua") and one.name not in THOSE_THAT_KNOW
)
FACTS = r"(?:[a-z_]+\.)*(?:subject|fact|order|last_subject)\b(?!_)|'credits:(?:order|refund|instalment):'"
PAST_ON_FACT = re.compile(
    rf"redis\.p?call\('(?:H\w+|EXISTS|DEL|PERSIST|P?EXPIRE)', (?:{FACTS})|\bwrite\((?:{FACTS})"
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_reads_or_writes_a_fact_past_on_fact(name: str) -> None:
    assert PAST_ON_FACT.findall((FOLDER / name).read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "redis.call('HGET', subject, 'delivery')",
        "redis.call('HSETNX', plan.subject, 'shown', plan.shown)",
        "redis.call('EXISTS', 'credits:refund:' .. order_id)",
        "write(claim.subject, claim.fields)",
    ],
)
def test_such_a_call_is_noticed(line: str) -> None:
    assert PAST_ON_FACT.search(line)
