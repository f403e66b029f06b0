"""The YAML language of the rules file. Other packages import the model and the loader from here."""

from config.rules.loader import load_rules, parse_rules
from config.rules.model import (
    DEFAULT_TRIGGERS,
    NO_RULES,
    ORDER_TRIGGERS,
    PERIOD_TRIGGERS,
    Meter,
    Offer,
    Rule,
    Rules,
    Trigger,
)
from config.rules.problems import Problem, RulesError

__all__ = [
    "DEFAULT_TRIGGERS",
    "NO_RULES",
    "ORDER_TRIGGERS",
    "PERIOD_TRIGGERS",
    "Meter",
    "Offer",
    "Problem",
    "Rule",
    "Rules",
    "RulesError",
    "Trigger",
    "load_rules",
    "parse_rules",
]
