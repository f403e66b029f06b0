"""No answer of any form is more than an error of Polar's."""

from contextlib import closing
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.answers import EVENT, TOKEN, URL
from workers.errors import PolarError
from workers.polar.client import Polar
from workers.polar.lists import Listing
from workers.polar.responses import error_from_response

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["detail", "loc", "msg", "error", "error_description"]), inner)
    ),
    max_leaves=12,
)

PROBLEMS = st.fixed_dictionaries(
    {},
    optional={
        "loc": JSON | st.lists(st.sampled_from(["body", "events", 0, 1, -1, None, True]), max_size=6),
        "msg": JSON,
    },
)

BODIES = JSON | st.fixed_dictionaries({"detail": st.lists(PROBLEMS | JSON, max_size=4)})


@given(status=st.sampled_from([200, 201, 400, 401, 403, 413, 422, 429, 500, 502]), body=BODIES)
def test_no_answer_whatever_its_form_is_more_than_an_error_of_polars(status: int, body: Any) -> None:
    answer = httpx.Response(status, json=body)
    client = Polar(url=URL, token=TOKEN, transport=httpx.MockTransport(lambda _request: answer))
    with pytest.raises(PolarError) as caught:
        client.ingest([EVENT])
    client.close()
    assert len(str(caught.value)) < 400


@given(content=st.binary(), status=st.integers(200, 599))
def test_no_bytes_in_an_answer_are_more_than_an_error_of_polars(content: bytes, status: int) -> None:
    assert isinstance(error_from_response(httpx.Response(status, content=content)), PolarError)


PAGINATION = st.fixed_dictionaries({"total_count": JSON, "max_page": JSON})
LISTS = st.fixed_dictionaries({"items": JSON | st.lists(JSON, max_size=3), "pagination": JSON | PAGINATION})


@given(body=JSON | LISTS)
def test_whatever_a_list_looks_like_it_is_a_page_of_rows_or_an_error_of_polars(body: Any) -> None:
    answer = httpx.Response(200, json=body)
    with closing(
        Polar(url=URL, token=TOKEN, transport=httpx.MockTransport(lambda _request: answer))
    ) as client:
        try:
            page = client.page(Listing(path="/v1/orders/"))
        except PolarError:
            return
    assert page.items == body["items"]
    assert all(isinstance(row, dict) for row in page.items)
