"""The name of what was bought is read from a webhook's body where it is there, and nowhere else."""

import json

import pytest

from tests.support.recordings import payload
from workers.core.products import product_name


def test_an_order_names_its_product() -> None:
    assert product_name(payload("order_paid_purchase")) == "Credit pack 100"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"[]",
        b'{"data": []}',
        b'{"data": {"product": null}}',
        b'{"data": {"product": {"name": 7}}}',
        b'{"data": {"product": "pack"}}',
        payload("order_paid_product_null"),
        payload("customer_created"),
    ],
)
def test_no_name_is_made_up(body: bytes) -> None:
    assert product_name(body) == ""


def test_a_name_is_one_line_of_bounded_length() -> None:
    body = json.dumps({"data": {"product": {"name": "  Pack\n of\t100  " + "x" * 200}}}).encode()
    assert product_name(body) == "Pack of 100 " + "x" * 47 + "…"
