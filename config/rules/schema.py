"""Builds the JSON Schema of the rules file, for editors, from the loader's own words and limits.

The schema checks less than the loader: neither what expressions mean nor whether rules conflict.
"""

import json
from collections.abc import Sequence
from typing import Any

from config.cel.expressions import MAX_CHARACTERS
from config.cel.numbers import CREDITS_LIMIT
from config.ids import UUID_PATTERN
from config.intervals import Every
from config.rules import fields
from config.rules.expression_fields import MIN_CREDITS
from config.rules.model import DEFAULT_TRIGGERS, Trigger
from config.version import VERSION

Schema = dict[str, Any]

_CEL = (
    "in CEL; it can use order, subscription, customer, product (null where absent), seats, units and "
    "period_left"
)


def schema_text() -> str:
    """Return the schema as JSON text, as it is printed and kept beside the rules file."""
    return json.dumps(_file(), indent=2) + "\n"


def _file() -> Schema:
    keys = {
        "version": {"description": "The version of this format.", "const": 1},
        "credit_from": _moment("What happened before this time is never credited."),
        "meters": {
            "description": "Your meters in Polar, each under the event name that its filter matches.",
            **_mapping(fields.MAX_METER_CHARACTERS, _meter()),
        },
        "rules": {
            "description": "Every rule that matches applies; their amounts for one meter add up.",
            "type": "array",
            "items": _rule(),
        },
        "offers": {
            "description": "Credits that the storefront may give over HTTP.",
            "type": "array",
            "items": _offer(),
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:credit-granter:rules-schema:{VERSION}",
        "title": "Rules of credit-granter",
        "description": "Which paid orders, new subscriptions, periods and customers give which credits.",
        **_object(keys, required=("version", "rules")),
    }


def _meter() -> Schema:
    prop = {
        "description": "The metadata property that the meter sums.",
        "default": "units",
        **_name(fields.MAX_PROPERTY_CHARACTERS),
        "not": {"enum": list(fields.RESERVED_PROPERTIES)},
    }
    return {**_object({"property": prop}), "type": ["object", "null"]}


def _rule() -> Schema:
    keys = {
        "name": {
            "description": "Shown with each credit. A once_per rule that is renamed is a new rule.",
            "type": "string",
            "pattern": f"^{fields.RULE_NAME}$",
        },
        "products": {
            "description": "The ids of the products at Polar. Omit `products` to mean every product.",
            **_set({"type": "string", "pattern": f"^{UUID_PATTERN}$"}),
        },
        "triggers": {
            "description": "The events that the rule credits.",
            "default": [one.value for one in Trigger if one in DEFAULT_TRIGGERS],
            **_set({"oneOf": [{"const": one.value, "description": one.description} for one in Trigger]}),
        },
        "when": {
            "description": f"A condition {_CEL}. A missing field makes it false.",
            **_text(MAX_CHARACTERS),
        },
        "once_per": {
            "description": "Grant the credits only once to each customer.",
            "enum": list(fields.ONCE_PER),
        },
        "on_refund": {
            "description": "Whether a refund takes back its share of what the rule granted.",
            "default": "keep",
            "enum": list(fields.ON_REVERSAL),
        },
        "on_dispute": {
            "description": "Whether a dispute that was lost takes back its share of what the rule granted.",
            "default": "keep",
            "enum": list(fields.ON_REVERSAL),
        },
        "every": {
            "description": "Grant the credits when the order is paid, and again each month or week until the "
            "paid period ends.",
            "enum": [one.value for one in Every],
        },
        "from": _moment(
            "Applies to orders, subscriptions and customers created, and periods begun, from this time on."
        ),
        "until": _moment(
            "Applies to orders, subscriptions and customers created, and periods begun, before this time."
        ),
        "grant": {
            "description": "The credits by meter.",
            **_mapping(fields.MAX_METER_CHARACTERS, _amount()),
            "minProperties": 1,
        },
    }
    return _object(keys, required=("name", "grant"))


def _offer() -> Schema:
    keys = {
        "name": {
            "description": "The storefront asks for it by this name.",
            "type": "string",
            "pattern": f"^{fields.RULE_NAME}$",
        },
        "grant": {
            "description": "The credits by meter.",
            **_mapping(fields.MAX_METER_CHARACTERS, {"description": "More than 0.", **_number()}),
            "minProperties": 1,
        },
        "once_per": {
            "description": "key: each key gives it once. customer: each customer gets it once.",
            "default": "key",
            "enum": list(fields.OFFER_ONCE_PER),
        },
        "most_per_customer": {
            "description": "How often one customer can get it.",
            "type": "integer",
            "minimum": 1,
        },
        "from": _moment("It can be given from this time on."),
        "until": _moment("It can be given before this time."),
    }
    return _object(keys, required=("name", "grant"))


def _number() -> Schema:
    least, most = float(MIN_CREDITS), int(CREDITS_LIMIT)
    return {"type": "number", "minimum": least, "exclusiveMaximum": most}


def _amount() -> Schema:
    expression = {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS}
    return {
        "description": f"More than 0: a number, or an expression {_CEL}.",
        "anyOf": [_number(), expression],
    }


def _moment(description: str) -> Schema:
    # No "format": editors apply RFC 3339 to it, which is narrower than what the loader accepts.
    return {
        "description": f"{description} A time with its zone, such as 2026-11-01T00:00:00Z.",
        "type": "string",
        "pattern": f"^{fields.MOMENT}$",
    }


def _object(keys: dict[str, Schema], *, required: Sequence[str] = ()) -> Schema:
    required_keys: Schema = {"required": list(required)} if required else {}
    return {"type": "object", **required_keys, "properties": keys, "additionalProperties": False}


def _mapping(most_characters: int, value: Schema) -> Schema:
    return {"type": "object", "propertyNames": _name(most_characters), "additionalProperties": value}


def _set(item: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}


def _name(most_characters: int) -> Schema:
    return {**_text(most_characters), "pattern": f"^[^{fields.CONTROLS}]*$"}


def _text(most_characters: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": most_characters}
