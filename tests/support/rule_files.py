"""Parses rules files for tests: a valid one, short ones from single rules, and their problems."""

import json
from textwrap import dedent

import pytest
from msgspec.structs import replace

from config.cel.amounts import Amount
from config.rules import Rule, Rules, RulesError, parse_rules

PRODUCT = "5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11"

NO_MIXING = (
    "CEL does not mix integers and decimals: write `* 12 / 100` for `* 0.12`, "
    "or put double(...) around the integer and write decimals such as 100.0"
)

WHOLE = f"""\
version: 1
credit_from: 2026-11-01T00:00:00Z

meters:
  api_usage:
    property: calls
  image_generations: {{}}

rules:
  - name: starter-pack
    products: [{PRODUCT}]
    triggers: [purchase, trial_start]
    grant:
      api_usage: 10
      image_generations: 0.1
"""


def parse(text: str) -> Rules:
    return parse_rules(dedent(text), "rules.yaml")


def error_of(text: str) -> RulesError:
    with pytest.raises(RulesError) as caught:
        parse(text)
    return caught.value


def problems(text: str) -> list[str]:
    return str(error_of(text)).split("\n")


def problem(text: str) -> str:
    """Return the only problem of ``text``, without the names of the file and the rule."""
    (only,) = error_of(text).problems
    return str(replace(only, rule="")).removeprefix("rules.yaml:")


def file_of(*rules: str) -> str:
    """Return a rules file with the meters m and n; its first rule is on line 4."""
    lines = "".join(f"- {rule}\n" for rule in rules)
    return f"version: 1\nmeters: {{m: {{}}, n: {{}}}}\nrules:\n{lines}"


def one_rule(rule: str) -> Rule:
    (only,) = parse(file_of(rule)).rules
    return only


def rule_problem(rule: str) -> str:
    return problem(file_of(rule))


def granting(amount: str, *keys: str) -> str:
    """Return a rule that grants the expression ``amount`` on the meter m."""
    return f"{{{', '.join(['name: a', *keys])}, grant: {{m: {json.dumps(amount)}}}}}"


def asking(condition: str, *keys: str) -> str:
    """Return a rule with ``condition`` as its ``when``."""
    return f"{{{', '.join(['name: a', *keys])}, when: {json.dumps(condition)}, grant: {{m: 1}}}}"


def the_amount(rule: str) -> Amount:
    return one_rule(rule).grant["m"]


def complaint(rule: str) -> str:
    """Return the message of the only problem of ``rule``."""
    (only,) = error_of(file_of(rule)).problems
    return only.message


def warnings(rule: str) -> list[str]:
    return [one.message for one in parse(file_of(rule)).warnings]
