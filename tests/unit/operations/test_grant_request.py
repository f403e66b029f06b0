"""What somebody asks for by hand is read whole, or every fault of it is named."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import CUSTOMER, rules_of
from workers.core.customers import CustomerName, NameKind, NewCustomer
from workers.operations.manual_grant.request import GrantRequest, GrantRequestReader

METERS = rules_of().meters
USUAL = {"email": "ada@example.com", "meter": "seconds", "units": "5", "key": "beta"}
_GROUPED = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}")
_POSITIVE = r"[1-9][0-9]{0,6}(\.[0-9]{1,6})?"


def faults(*, create_missing: bool = False, **fields: Any) -> list[str]:
    read = GrantRequestReader(meters=METERS, create_missing=create_missing).read(USUAL | fields)
    assert isinstance(read, list), read
    return read


def request(*, create_missing: bool = False, **fields: Any) -> GrantRequest:
    read = GrantRequestReader(meters=METERS, create_missing=create_missing).read(USUAL | fields)
    assert isinstance(read, GrantRequest), read
    return read


def test_a_wish_has_its_meters_property_and_no_spaces_around_it() -> None:
    one = request(units=" 0.50 ", key=" beta ", reason=" why not ")
    assert (one.units, one.key, one.reason) == (Decimal("0.5"), "beta", "why not")
    assert (one.meter.name, one.meter.property) == ("seconds", "amount")
    assert one.subject == "credits:manual:beta:ada@example.com:seconds"
    assert one.delivery_id == "manual-beta:ada@example.com:seconds"


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ("", "units are missing"),
        ("1,5", "write plain digits and a decimal point, such as 1000 or 1.5"),
        ("1,000", "write plain digits"),
        ("1e5", "expected plain digits"),
        ("ten", "expected plain digits"),
        ("٣", "expected plain digits"),
        ("+5", "expected plain digits"),
        ("nan", "expected plain digits"),
        ("1.000", "it could mean 1000; write 1000, or fewer decimals"),
        ("12.500.000", "expected plain digits"),
        ("0", "expected more than 0 (use credits revoke to take back)"),
        ("-5", "expected more than 0"),
        ("1000000000000", "less than 1,000,000,000,000"),
        ("0.0000000000001", "expected 0.000000000001"),
        ("1234567890.123456", "more than 15 digits would be rounded"),
    ],
)
def test_units_are_a_positive_number_that_stays_exact(units: str, words: str) -> None:
    (fault,) = faults(units=units)
    assert words in fault


@given(st.from_regex(_POSITIVE, fullmatch=True).filter(lambda text: not _GROUPED.fullmatch(text)))
def test_units_are_taken_as_they_were_written(text: str) -> None:
    assert request(units=text).units == Decimal(text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"email": ""}, "name the customer by one of customer_id, external_customer_id, email"),
        ({"external_customer_id": "user-1"}, "name the customer by one of"),
        ({"customer_id": CUSTOMER}, "name the customer by one of"),
        ({"email": "ada"}, "'ada' is not an e-mail address"),
        ({"email": "a b@example.com"}, "is not an e-mail address"),
        ({"email": "", "customer_id": "ada"}, "'ada' is not a customer id at Polar"),
        ({"meter": ""}, "meter is missing"),
        ({"meter": "secnds"}, "unknown meter 'secnds'; did you mean 'seconds'?"),
        ({"meter": "xyz"}, "unknown meter 'xyz'; the rules file declares api_usage, images, seconds"),
        ({"key": ""}, "key is missing"),
        ({"key": "a:b"}, "key 'a:b': expected 1 to 64 of the characters"),
        ({"key": "k" * 65}, "expected 1 to 64 of the characters"),
        ({"reason": "x" * 501}, "the reason is longer than the 500 characters"),
        ({"reason": "a\x00b"}, "control characters in reason"),
        ({"email": "ada\udc80@example.com"}, "control characters in email"),
        ({"name": "Ada"}, "a name is only used to create a customer"),
        ({"email": "", "external_customer_id": "ü" * 80}, "too long for a key at Polar"),
    ],
)
def test_every_fault_is_told_in_words(fields: dict[str, Any], words: str) -> None:
    (fault,) = faults(**fields)
    assert words in fault


def test_all_faults_are_told_at_once() -> None:
    assert len(faults(email="", meter="", units="", key="")) == 4


@pytest.mark.parametrize(
    ("fields", "name", "in_key"),
    [
        (
            {"email": "Ada+x@Example.com"},
            CustomerName(NameKind.EMAIL, "ada+x@example.com"),
            "ada+x@example.com",
        ),
        (
            {"external_customer_id": "auth0|5:7 %"},
            CustomerName(NameKind.EXTERNAL, "auth0|5:7 %"),
            "auth0|5%3A7%20%25",
        ),
        ({"external_customer_id": "Ünal"}, CustomerName(NameKind.EXTERNAL, "Ünal"), "%C3%9Cnal"),
        ({"customer_id": CUSTOMER.upper()}, CustomerName(NameKind.ID, CUSTOMER), CUSTOMER),
    ],
)
def test_a_customer_has_one_spelling_in_keys(fields: dict[str, Any], name: CustomerName, in_key: str) -> None:
    one = request(**{"email": ""} | fields)
    assert one.customer == name
    assert one.customer.in_key == in_key


@given(st.text(min_size=1, max_size=100), st.text(min_size=1, max_size=100))
def test_two_names_never_share_a_key_nor_break_it(one: str, other: str) -> None:
    texts = [text.encode(errors="replace").decode() for text in (one, other)]
    first, second = (CustomerName(NameKind.EXTERNAL, text).in_key for text in texts)
    assert (first == second) == (texts[0] == texts[1])
    assert ":" not in first
    assert first.isascii()
    assert not set(first) & set(" \t\r\n")


@pytest.mark.parametrize(
    ("fields", "new_customer"),
    [
        ({"name": "Ada"}, NewCustomer("ada@example.com", "Ada", None)),
        ({"external_customer_id": "user-1"}, NewCustomer("ada@example.com", None, "user-1")),
        ({"email": "", "external_customer_id": "user-1"}, None),
        ({"email": "", "customer_id": CUSTOMER}, None),
    ],
)
def test_who_may_be_created_needs_an_address(
    fields: dict[str, Any], new_customer: NewCustomer | None
) -> None:
    assert request(create_missing=True, **fields).new_customer == new_customer


def test_nobody_is_created_unless_that_was_said() -> None:
    assert request().new_customer is None


def test_an_address_beside_the_merchants_id_is_looked_at_as_well() -> None:
    assert faults(create_missing=True, external_customer_id="user-1", email="ada") == [
        "'ada' is not an e-mail address"
    ]
