"""Signed but hostile bodies do no harm: each is planned correctly, or fails with a readable reason."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.builders import ORDER, order_webhook, rule, rules_of, webhook
from tests.support.examples import examples
from tests.support.recordings import PAYLOADS, payload
from workers.core.claims import Standing
from workers.core.delivery import Leased, Status
from workers.core.delivery_plans import PlannedDelivery, plan_delivery
from workers.core.envelope import STORED_TYPES, peek_type
from workers.core.outcomes import IngestionResult, decide_outcome

RULES = rules_of(
    rule("flat", {"api_usage": 10}),
    rule("by-money", {"images": "order.net_amount * 3 / 2"}, triggers=["purchase"]),
    rule("by-seats", {"seconds": "seats * 5"}, triggers=["subscription_create", "subscription.cycled"]),
    rule(
        "by-text",
        {"api_usage": "int(product.metadata.credits)"},
        when="has(product.metadata.credits) && order.customer.name.startsWith('A')",
    ),
    rule("late", {"api_usage": 1}, **{"from": "2026-12-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}),
    rule("bonus", {"api_usage": 50}, once_per="customer"),
    rule("revoked", {"images": "order.refunded_amount + 1"}, triggers=["purchase"], on_refund="revoke"),
    rule("welcome", {"api_usage": 1}, triggers=["customer.created"]),
    rule("start", {"images": "seats * 2"}, triggers=["subscription.created", "trial_start"]),
    credit_from="2026-01-01T00:00:00Z",
)

REAL = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".headers"))
STORED = [name for name in REAL if peek_type(payload(name)) in STORED_TYPES]
IDS = ("id", "customer_id", "product_id")
LONGEST_REASON = 2_000

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SUBJECT = re.compile(
    rf"credits:(order:{UUID}|customer:{UUID}(:bonus|:welcome)?|cycle:{UUID}:-?\d{{1,12}}|subscription:{UUID})"
)


def opened(body: bytes, type_: str = "") -> PlannedDelivery:
    """Plan a body, by the type that the receiver stored."""
    type_ = type_ or peek_type(body) or ""
    return plan_delivery(type_, body, RULES)


def assert_harmless(planned: PlannedDelivery) -> None:
    """Check that its reason can be stored and printed, and that its keys are well formed."""
    plan = planned.plan
    standing = Standing(subject=plan.subject, refund=plan.refund) if plan else None
    leased = Leased(id="d", type=planned.type, body=b"", strikes=0, attempt=1)
    outcome = decide_outcome(leased, planned, standing, {}, IngestionResult())
    is_planned = outcome.status is Status.WAITING and plan is not None and plan.grants
    assert is_planned or outcome.status in {Status.SKIPPED, Status.FAILED}
    assert outcome.reason
    assert outcome.reason.isprintable()
    assert len(outcome.reason) <= LONGEST_REASON
    if plan is not None:
        subjects = {plan.subject, *(grant.subject for grant in plan.grants)}
        assert all(SUBJECT.fullmatch(one) for one in subjects)
        assert re.fullmatch(UUID, plan.customer_id)


NO_IDS = [
    "",
    " ",
    " " * 32,
    ORDER.replace("-", "")[:-1] + " ",
    " " + ORDER.replace("-", "")[1:],
    ORDER.replace("-", "")[:-1] + "\n",
    ORDER + "\n",
    ORDER + "\x00",
    "0x" + ORDER.replace("-", "")[2:],
    "+" + ORDER.replace("-", "")[1:],
    ORDER.replace("2", "_", 1),
    "2" + "_" + ORDER.replace("-", "")[2:],
    "\u0661" * 32,
    "\uff11" * 32,
    "\u202e" + ORDER,
    "credits:order:" + ORDER,
    ORDER + ":api_usage",
    f"{ORDER} {ORDER}",
    "-" * 10_000 + ORDER,
    "{" * 10_000 + ORDER,
    "x" * 10_240,
    "ann.longer.name@some.example.com",
    "\x1b[31m" + "a" * 27,
    "../../../etc/passwd",
]


@pytest.mark.parametrize("field", IDS)
@pytest.mark.parametrize("odd", NO_IDS, ids=range(len(NO_IDS)))
def test_text_that_is_not_an_id_is_refused(field: str, odd: str) -> None:
    """Read as another order's id, it would claim that order's credit."""
    planned = opened(order_webhook(**{field: odd}))
    assert planned.failure == f"the body cannot be read: data.{field}: not an id (a UUID)"


@given(text=st.text(max_size=50) | st.text("0123456789abcdefABCDEF-{}_ \n:x", min_size=30, max_size=40))
def test_a_text_is_read_as_no_id_but_its_own(text: str) -> None:
    planned = opened(order_webhook(id=text))
    assert_harmless(planned)
    if planned.plan is not None:
        digits = planned.plan.subject.removeprefix("credits:order:").replace("-", "")
        assert re.sub(r"urn:uuid:|[{}-]", "", text).lower() == digits


MOMENTS = [
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "1970-01-01T13:59:59+14:00",  # 1969 in UTC: less than 0 ms, which scripts do not expect
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59Z",
]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("like", "field"),
    [
        ("order_paid_purchase", "created_at"),
        ("subscription_cycled", "current_period_start"),
        ("customer_created", "created_at"),
    ],
)
def test_a_time_out_of_range_cannot_be_read(like: str, field: str, moment: str) -> None:
    """Converted to another time zone, it would be out of range."""
    planned = opened(webhook(like, **{field: moment}))
    assert planned.failure == f"the body cannot be read: data.{field}: not a time between 1971 and 9998"


def test_a_long_billing_reason_is_not_quoted() -> None:
    planned = opened(order_webhook(billing_reason="x" * 100_000))
    assert planned.failure.endswith("data.billing_reason: Expected `str` of length <= 100")
    assert_harmless(planned)


def in_metadata(text: bytes) -> bytes:
    """Return a paid order with exactly these bytes as one of its values."""
    return order_webhook(metadata={"x": "here"}).replace(b'"here"', text)


NO_JSON = {
    "arrays without end": b"[" * 100_000,
    "objects without end": b'{"a":' * 100_000,
    "a number of 100,000 digits": b"1" * 100_000,
    "half a character": b'"\\ud800"',
    "no UTF-8": b'"\xff"',
    "a bare control character": b'"\x00"',
    "arrays too deep for expressions": b"[" * 1_000 + b"]" * 1_000,
}


@pytest.mark.parametrize("text", NO_JSON.values(), ids=NO_JSON.keys())
def test_an_unreadable_body_fails_with_a_reason(text: bytes) -> None:
    planned = opened(in_metadata(text))
    assert planned.failure.startswith("the body cannot be read: ")
    assert_harmless(planned)


ODD_JSON = {
    "a null character": b'"\\u0000"',
    "deep arrays": b"[" * 150 + b"]" * 150,
    "a number of 4,000 digits": b"1" * 4_000,
    "a number beyond doubles": b"1e999",
    "NaN, which JSON has not": b"NaN",
    "infinity, which JSON has not": b"-Infinity",
    "the same key twice": b'{"a": 1, "a": 2}',
    "a key of nothing": b'{"": {"\\u0000": null}}',
}


@pytest.mark.parametrize("text", ODD_JSON.values(), ids=ODD_JSON.keys())
def test_odd_values_in_unused_fields_change_nothing(text: bytes) -> None:
    assert opened(in_metadata(text)).plan == opened(order_webhook(metadata={})).plan


HOSTILE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**15, 10**25)
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.text("\n\r\x00\x1b\x7f\x9b\u2028\u202e\ufeff'\"\\", max_size=10)
    | st.sampled_from([*NO_IDS, *MOMENTS, "1e400", "9" * 400, "true", "2026-11-21", [], {}, [[]], {"": None}])
)


def places(value: Any, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Yield the path of every value, including the whole."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [here, *(path for key, each in inner for path in places(each, (*here, key)))]


def changed(value: Any, path: tuple[str | int, ...], to: Any) -> Any:
    """Return ``value`` with the value at ``path`` replaced."""
    if not path:
        return to
    first, *rest = path
    copy = value.copy()
    copy[first] = changed(value[first], tuple(rest), to)
    return copy


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a real webhook's type, and its body with some values replaced."""
    name = draw(st.sampled_from(STORED))
    whole = json.loads(payload(name))
    for _ in range(draw(st.integers(1, 3))):
        whole = changed(whole, draw(st.sampled_from(places(whole))), draw(HOSTILE))
    return peek_type(payload(name)) or "", json.dumps(whole).encode()


@settings(max_examples=examples(1500))
@given(drawn=mutated())
def test_a_real_webhook_with_any_values_breaks_no_worker(drawn: tuple[str, bytes]) -> None:
    """Change any values of any real payload, and store it under any type."""
    type_, body = drawn
    assert_harmless(opened(body, type_))


@given(type_=st.sampled_from(["", *sorted(STORED_TYPES)]), body=st.binary(max_size=300))
@example(type_="", body=b"[" * 100_000)
@example(type_="order.paid", body=b'{"type": "order.paid", "data": ' + b"[" * 100_000)
@example(type_="order.paid", body=b'{"data": ' + b"1" * 100_000 + b"}")
def test_any_bytes_break_no_worker(type_: str, body: bytes) -> None:
    planned = opened(body, type_)
    assert planned.failure.startswith("the body cannot be read: ")
    assert_harmless(planned)
