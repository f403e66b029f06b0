"""The error for each refusal: recorded ones of Polar, and those of proxies in between."""

import httpx
import pytest
import respx

from tests.support.answers import EVENT, TOKEN, failure, recorded
from tests.support.recordings import RESPONSES
from workers.errors import (
    PolarBrokenError,
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)
from workers.polar.client import Polar
from workers.polar.responses import error_from_response


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("ingest_bad_token", PolarDeniedError, "401: The access token provided is expired"),
        ("ingest_missing_scope", PolarDeniedError, "403: The request requires higher privileges"),
        ("ingest_no_token", PolarDeniedError, "401: Unauthorized"),
        ("unknown_version", PolarDeniedError, "404: Not Found"),
        ("not_found_path", PolarDeniedError, "404: Not Found"),
        ("ingest_not_json", PolarRefusedError, "422: JSON decode error"),
        ("ingest_unknown_customer", PolarRefusedError, "422: customer_id: Customer not found."),
        ("ingest_bad_shapes", PolarRefusedError, "422: EventCreateCustomer.customer_id: Input should be"),
    ],
)
def test_a_recorded_refusal_has_its_class_and_polars_words(
    polar: Polar, api: respx.MockRouter, name: str, kind: type[PolarError], words: str
) -> None:
    error = failure(polar, api, recorded(name))
    assert type(error) is kind
    assert words in str(error)


def test_every_recorded_refusal_is_known_and_tells_no_more_than_a_screenful() -> None:
    for path in RESPONSES.glob("*.json"):
        answer = recorded(path.stem)
        if not answer.is_success:
            error = error_from_response(answer)
            assert isinstance(error, PolarDeniedError | PolarRefusedError), path.name
            assert len(str(error)) < 400


def test_an_unknown_customer_is_named_by_its_place(polar: Polar, api: respx.MockRouter) -> None:
    error = failure(polar, api, recorded("ingest_unknown_customer"), events=2)
    assert isinstance(error, PolarRefusedError)
    assert error.named == {1: "customer_id: Customer not found."}


def test_bad_shapes_are_named_once_each_with_the_first_of_polars_words(
    polar: Polar, api: respx.MockRouter
) -> None:
    error = failure(polar, api, recorded("ingest_bad_shapes"), events=4)
    assert isinstance(error, PolarRefusedError)
    assert list(error.named) == [1, 2, 3]
    assert "valid UUID" in error.named[1]
    assert "metadata.x" in error.named[2]
    assert error.named[3].endswith("Timestamp must be in the past.")


def test_a_body_that_polar_cannot_read_names_nobody(polar: Polar, api: respx.MockRouter) -> None:
    error = failure(polar, api, recorded("ingest_not_json"))
    assert isinstance(error, PolarRefusedError)
    assert error.named == {}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, PolarRefusedError),
        (401, PolarDeniedError),
        (403, PolarDeniedError),
        (404, PolarDeniedError),
        (405, PolarUnreachableError),
        (408, PolarUnreachableError),
        (411, PolarUnreachableError),
        (413, PolarRefusedError),
        (418, PolarUnreachableError),
        (429, PolarRateLimitedError),
        (500, PolarBrokenError),
        (501, PolarUnreachableError),
        (502, PolarUnreachableError),
        (503, PolarUnreachableError),
        (504, PolarUnreachableError),
        (201, PolarUnreachableError),
        (202, PolarUnreachableError),
        (204, PolarUnreachableError),
    ],
)
def test_each_status_means_one_thing_whatever_the_body(
    polar: Polar, api: respx.MockRouter, status: int, kind: type[PolarError]
) -> None:
    """Only 200 is a success: not even 201 with the right counts."""
    for content in (b"", b"<html>", b'{"inserted": 1, "duplicates": 0}', b"[1]", b"\xff", b"null"):
        error = failure(polar, api, httpx.Response(status, content=content))
        assert type(error) is kind
        assert f"answered {status}" in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_says_that_the_address_is_wrong(
    polar: Polar, api: respx.MockRouter, status: int
) -> None:
    answer = httpx.Response(status, headers={"location": "https://elsewhere.example/"})
    # The mock knows no other host: to go there would raise something else.
    assert type(failure(polar, api, answer)) is PolarDeniedError
    assert api.calls.call_count == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 60),
        ("60", 60),
        ("1", 1),
        ("0", 0),
        ("0.5", 0.5),
        ("3600", 3600),
        ("3601", 60),
        ("-1", 60),
        ("nan", 60),
        ("inf", 60),
        ("soon", 60),
        ("", 60),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 60),
    ],
)
def test_a_rate_limit_says_how_long_to_wait(
    polar: Polar, api: respx.MockRouter, header: str | None, seconds: float
) -> None:
    headers = {} if header is None else {"retry-after": header}
    error = failure(polar, api, httpx.Response(429, headers=headers))
    assert isinstance(error, PolarRateLimitedError)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("[Errno 111] Connection refused"),
        httpx.ConnectTimeout("timed out"),
        httpx.ReadTimeout(""),
        httpx.WriteTimeout("timed out"),
        httpx.PoolTimeout(""),
        httpx.ReadError(""),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        httpx.DecodingError("incorrect header check"),
        httpx.ProxyError("407 Proxy Authentication Required"),
        httpx.UnsupportedProtocol("no such scheme"),
    ],
)
def test_no_answer_is_named_by_what_kept_it_away(
    polar: Polar, api: respx.MockRouter, error: httpx.HTTPError
) -> None:
    told = failure(polar, api, error)
    assert type(told) is PolarUnreachableError
    assert type(error).__name__ in str(told)


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"{TOKEN} ", f"{TOKEN}\r\nX: y", f"{TOKEN}\x00"])
def test_a_token_that_is_no_header_is_never_told_by_the_error_about_it(token: str) -> None:
    """The library below quotes a header that it refuses to send, token and all."""
    client = Polar(url="http://127.0.0.1:9", token=token, transport=Refusing())
    with pytest.raises(PolarError) as caught:
        client.ingest([EVENT])
    client.close()
    assert "s3cret" not in str(caught.value)


class Refusing(httpx.BaseTransport):
    """Refuses a header as httpx's own transport does, which asks only once it has a connection."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Quote the header, as h11 does."""
        value = request.headers["authorization"].encode()
        raise httpx.LocalProtocolError(f"Illegal header value {value!r}")


def test_long_words_of_polars_are_cut(polar: Polar, api: respx.MockRouter) -> None:
    detail = [{"loc": ["body", "events", 0, "name"], "msg": "no! " * 10_000}]
    error = failure(polar, api, httpx.Response(422, json={"detail": detail}))
    assert isinstance(error, PolarRefusedError)
    assert len(str(error)) < 400
    assert len(error.named[0]) < 400
