"""Values of every type that a command keeps on disk come back as they were, whatever their fields hold."""

import ast
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from app.cli.replay import _Planned
from config.cel.numbers import CREDITS_LIMIT
from tests.support.builders import CUSTOMER, ORDER
from tests.support.examples import examples
from tests.support.paths import ROOT
from workers.core.adjust_delivery import ManualAdjust, SeenRefund, Wanted
from workers.core.claims import Entry
from workers.core.delivery import Delivery, Outcome
from workers.core.recorded_grants import RecordedGrant
from workers.core.schedule import PaidPeriod
from workers.operations.adjust.scan import AdjustedOrder, SkippedOrder
from workers.operations.backfill.scanned_orders import MissingOrder, OrderProblem
from workers.operations.recover import LostWebhook, Preview
from workers.operations.spool import Spool, sorted_on_disk

SPOOLED: Mapping[str, Any] = {
    "AdjustedOrder": AdjustedOrder,
    "Decimal": Decimal,
    "Delivery": Delivery,
    "Entry": Entry,
    "LostWebhook": LostWebhook,
    "MissingOrder": MissingOrder,
    "OrderProblem": OrderProblem,
    "Outcome": Outcome,
    "PaidPeriod | None": PaidPeriod | None,
    "Preview": Preview,
    "SkippedOrder": SkippedOrder,
    "_Planned": _Planned,
    "dict[str, RecordedGrant]": dict[str, RecordedGrant],
    "str": str,
}
"""Each type as the code names it where it asks for a collection."""

_COLLECTIONS = {"mapping", "list", "sorted_list", "sorted_on_disk"}

_amounts = st.decimals(allow_nan=False, allow_infinity=False)
_shares = st.fractions(0, 1, max_denominator=10**15).map(lambda one: f"{one.numerator}/{one.denominator}")

_offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))

_PLAIN: Mapping[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    bytes: st.binary(),
    datetime: st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC) | _offsets),  # noqa: DTZ001 - the zone follows
    Decimal: _amounts,
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: st.integers(),
    type(None): st.none(),
    str: st.text(),  # without halves of surrogate pairs, which no JSON that is read here can hold
    ManualAdjust: st.builds(
        ManualAdjust,
        order_id=st.just(ORDER),
        customer_id=st.just(CUSTOMER),
        rule=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
        number=st.integers(min_value=1),
        wanted=st.lists(
            st.builds(
                Wanted,
                meter=st.text(min_size=1),
                property_name=st.text(min_size=1),
                units=st.decimals(Decimal("0.000001"), CREDITS_LIMIT - 1, places=6),
                revocable=st.booleans(),
                disputable=st.booleans(),
            )
        ).map(tuple),
        refund=st.none() | st.builds(SeenRefund, amount=st.integers(0, 10**15), share=_shares),
    ),
}


@cache
def values(of: Any, *, full: bool) -> st.SearchStrategy[Any]:
    """Return values of a type; with ``full``, nothing in them is None, empty or left out."""
    origin, args = get_origin(of), get_args(of)
    if origin in {Union, UnionType}:
        kinds = [one for one in args if not (full and one is type(None))]
        return st.one_of([values(one, full=full) for one in kinds])
    if origin is tuple and args[1:] == (...,):
        return st.lists(values(args[0], full=full), min_size=int(full), max_size=3).map(tuple)
    if origin is dict:
        keys, held = (values(one, full=full) for one in args)
        return st.dictionaries(keys, held, min_size=int(full), max_size=3)
    if isinstance(of, type) and issubclass(of, Struct):
        hints = get_type_hints(of)
        return st.builds(of, **{name: values(hints[name], full=full) for name in of.__struct_fields__})
    if isinstance(of, type) and issubclass(of, Enum):
        return st.sampled_from(of)
    return _PLAIN[of]


def texts(value: Any) -> Iterator[str]:
    """Yield a text for each decimal and time in a value: equal ones may be written in different ways."""
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from texts(getattr(value, name))
    elif isinstance(value, dict | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts(one)
    elif isinstance(value, ManualAdjust):
        yield value.model_dump_json()
    elif isinstance(value, Decimal):
        yield str(value)
    elif isinstance(value, datetime):
        yield str(value.utcoffset())


def asked_for() -> Iterator[str]:
    """Yield the types that the code asks collections on disk for, as it names them."""
    for folder in ("app", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            if "Spool()" in (text := path.read_text()) or "sorted_on_disk" in text:
                for call in ast.walk(ast.parse(text)):
                    if isinstance(call, ast.Call) and _names_a_collection(call.func):
                        yield ast.unparse(call.args[-1])


def _names_a_collection(called: ast.expr) -> bool:
    if isinstance(called, ast.Name):
        return called.id == "sorted_on_disk"
    is_of_spool = isinstance(called, ast.Attribute) and ast.unparse(called.value) in {"Spool()", "spool"}
    return is_of_spool and isinstance(called, ast.Attribute) and called.attr in _COLLECTIONS


def test_the_types_here_are_those_that_the_code_keeps_on_disk() -> None:
    assert set(asked_for()) == set(SPOOLED)


@pytest.mark.parametrize("name", SPOOLED)
@settings(max_examples=examples(100))
@given(data=st.data())
def test_values_on_disk_come_back_equal(name: str, data: st.DataObject) -> None:
    of = SPOOLED[name]
    kept = data.draw(st.lists(values(of, full=False) | values(of, full=True), max_size=3))
    spool = Spool()
    one_by_one, by_key = spool.list(of), spool.mapping(of)
    for number, one in enumerate(kept):
        one_by_one.append(one)
        by_key[str(number)] = one
    for found in (one_by_one, by_key.values(), sorted_on_disk(kept, lambda _: "", of)):
        read = list(found)
        assert read == kept
        assert list(map(type, read)) == list(map(type, kept))
        assert list(texts(tuple(read))) == list(texts(tuple(kept)))
