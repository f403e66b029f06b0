"""Hooks of schemathesis: some of its valid requests name what really exists, and none waits in vain.

The command loads this module by its name, from SCHEMATHESIS_HOOKS.
"""

from collections.abc import Sequence
from typing import Any, TypeVar
from zlib import crc32

import schemathesis

from app.api.orders import LONGEST_WAIT_SECONDS
from tests.support.builders import CUSTOMER, ORDER
from tests.support.storefronts import (
    EXTERNAL_ID,
    OTHER_CUSTOMER,
    OTHER_EXTERNAL_ID,
    SKIPPED_ORDER,
)

Choice = TypeVar("Choice")

# None leaves what was generated.
_PATHS = {
    "order_id": [ORDER, SKIPPED_ORDER, None],
    "customer_id": [CUSTOMER, None],
    "external_id": [EXTERNAL_ID, None],
    "offer": ["referral", "referral", "welcome", "summer", None],
}
_CUSTOMERS = [
    {"customer_id": CUSTOMER},
    {"external_customer_id": EXTERNAL_ID},
    {"customer_id": OTHER_CUSTOMER},
    {"external_customer_id": OTHER_EXTERNAL_ID},
    None,
]
_KEYS = ["k1", "k2", None]


def _one_of(known: Sequence[Choice], case: Any) -> Choice:
    """Return the same choice whenever the same case is sent: a failure must be found again."""
    generated = repr((known, case.path_parameters, case.query, case.body))
    return known[crc32(generated.encode(errors="replace")) % len(known)]


@schemathesis.hook
def before_call(_context: Any, case: Any, **_kwargs: Any) -> None:
    """Replace parts of what was generated, if the document allows it."""
    wait = str((case.query or {}).get("wait", ""))
    if wait.isascii() and wait.isdigit() and 0 < int(wait) <= LONGEST_WAIT_SECONDS:
        # An order that is unknown stays so. An offer is settled in a moment, except on a busy machine.
        case.query["wait"] = 0 if "order_id" in case.path_parameters else LONGEST_WAIT_SECONDS
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    if case.meta.phase.name == "examples":  # those in the document name nobody who exists
        return
    for name, known in _PATHS.items():
        if name in case.path_parameters and (chosen := _one_of(known, case)):
            case.path_parameters[name] = chosen
    if isinstance(case.body, dict):
        named, key = _one_of(_CUSTOMERS, case), _one_of(_KEYS, case)
        body = {"key": case.body.get("key"), **named} if named else case.body
        case.body = {**body, "key": key} if key else body
