"""Rules files for tests: one that is right, and what is found in others."""

from textwrap import dedent

import pytest

from config.rules import Rule, Rules, RulesError, parse_rules

PRODUCT = "5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11"

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


def problems(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        parse(text)
    return str(caught.value).split("\n")


def problem(text: str) -> str:
    """Return the one problem that ``text`` has, without the name of the file."""
    (line,) = problems(text)
    return line.removeprefix("rules.yaml:")


def one_rule(rule: str) -> Rule:
    (only,) = parse(f"version: 1\nmeters: {{m: {{}}}}\nrules:\n- {rule}\n").rules
    return only


def rule_problem(rule: str) -> str:
    return problem(f"version: 1\nmeters: {{m: {{}}}}\nrules:\n- {rule}\n")
