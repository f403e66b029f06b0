"""Signatures: recorded and new ones, every way to get one wrong, and hostile headers."""

import base64
import hmac
import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from app.receiver.signature import InvalidSignatureError, Verifier, sign
from tests.support.recordings import PAYLOADS, payload

SECRET = "whsec_testsecret"
ID = "4dab40bf-0dfb-422e-9031-6ceec1795535"
BODY = payload("order_paid_purchase")
RECORDED = sorted(path.name.removesuffix(".headers.json") for path in PAYLOADS.glob("*.headers.json"))


def signed(body: bytes = BODY, *, secret: str = SECRET, age_seconds: int = 0) -> dict[str, str]:
    return sign(secret, ID, int(time.time()) - age_seconds, body)


def signed_by_the_specification(secret: str) -> dict[str, str]:
    """Sign as the library does, which decodes base64 after the prefix."""
    moment = datetime.now(UTC).replace(microsecond=0)
    return {
        "webhook-id": ID,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(ID, moment, BODY.decode()),
    }


def refusal(headers: dict[str, str], body: bytes = BODY, *secrets: str) -> str:
    with pytest.raises(InvalidSignatureError) as caught:
        Verifier(secrets or (SECRET,)).verify(headers, body)
    return str(caught.value)


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_signature_is_reproduced(name: str) -> None:
    recorded = json.loads((PAYLOADS / f"{name}.headers.json").read_bytes())
    again = sign(SECRET, recorded["webhook-id"], int(recorded["webhook-timestamp"]), payload(name))
    assert again.items() <= recorded.items()


def test_a_recorded_delivery_is_stale_today() -> None:
    recorded = json.loads((PAYLOADS / "order_paid_purchase.headers.json").read_bytes())
    stale = recorded | {"webhook-timestamp": str(int(time.time()) - 400)}
    assert refusal(stale) == "stale webhook-timestamp: more than 5 minutes from the receiver's clock"


def test_a_delivery_signed_by_polar_is_verified() -> None:
    assert Verifier([SECRET]).verify(signed(), BODY) == ID


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_testsecret",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "polar_whs_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_not base64 at all!",
        "typed by hand: ключ",
    ],
)
def test_the_whole_secret_is_a_key_whatever_its_form(secret: str) -> None:
    assert Verifier([secret]).verify(signed(secret=secret), BODY) == ID


@pytest.mark.parametrize("padding", ["", "="])
def test_the_secret_in_the_specifications_form_is_a_key_with_and_without_padding(padding: str) -> None:
    secret = "whsec_" + base64.b64encode(b"some 23 random bytes...").decode().rstrip("=") + padding
    assert Verifier([secret]).verify(signed_by_the_specification(secret), BODY) == ID


def test_polars_own_prefix_is_removed_before_decoding() -> None:
    headers = signed_by_the_specification("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    verifier = Verifier(["polar_whs_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    assert verifier.verify(headers, BODY) == ID


_OLDER, _NEWER = (
    "whsec_" + base64.b64encode(key).decode() for key in (b"the older of two", b"the newer of two")
)


@pytest.mark.parametrize("secret", [_OLDER, _NEWER])
def test_each_of_several_secrets_verifies_in_either_form(secret: str) -> None:
    verifier = Verifier([_OLDER, _NEWER])
    assert verifier.verify(signed(secret=secret), BODY) == ID
    assert verifier.verify(signed_by_the_specification(secret), BODY) == ID


def test_nothing_is_verified_without_a_secret() -> None:
    with pytest.raises(InvalidSignatureError, match="wrong webhook-signature"):
        Verifier([]).verify(signed(), BODY)


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_", b""),
        ("whsec_xx", b"\xc7"),
        ("whsec_eHh4eHh4eHh4eHh4eHh4", b"x" * 15),
        ("v1", b"v1"),
        ("correct", b"correct"),
        ("correct", base64.b64decode("correct=")),
        ("x" * 15, b"x" * 15),
    ],
)
def test_a_key_that_could_be_guessed_verifies_nothing(secret: str, key: bytes) -> None:
    moment = int(time.time())
    mac = hmac.new(key, b"%b.%d.%b" % (ID.encode(), moment, BODY), "sha256").digest()
    forged = signed() | {
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
    assert refusal(forged, BODY, secret).startswith("wrong webhook-signature")


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_or_empty_is_named(name: str) -> None:
    headers = signed()
    assert refusal(headers | {name: ""}) == f"missing {name}"
    del headers[name]
    assert refusal(headers) == f"missing {name}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "two words"),
        ("webhook-id", "id\r\nset-cookie: a=b"),
        ("webhook-id", "ключ"),
        ("webhook-id", "x" * 201),
        ("webhook-timestamp", "now"),
        ("webhook-timestamp", "-1"),
        ("webhook-timestamp", "1.5e9"),
        ("webhook-timestamp", " 1795227204"),
        ("webhook-timestamp", "1795227204\n"),
        ("webhook-timestamp", "١٧٩٥٢٢٧٢٠٤"),
        ("webhook-timestamp", "9" * 5000),
        ("webhook-timestamp", "nan"),
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,!!!!"),
        ("webhook-signature", "v1,ключ"),
        ("webhook-signature", "v1a,aGVsbG8="),
        ("webhook-signature", "v1,aGVsbG8=,aGVsbG8="),
        ("webhook-signature", "   "),
    ],
)
def test_a_malformed_header_is_named(name: str, value: str) -> None:
    assert refusal(signed() | {name: value}) == f"malformed {name}"


@pytest.mark.parametrize("age_seconds", [400, -400, 10**9])
def test_a_timestamp_far_from_now_is_stale_though_the_signature_is_good(age_seconds: int) -> None:
    assert refusal(signed(age_seconds=age_seconds)).startswith("stale webhook-timestamp")


@pytest.mark.parametrize("age_seconds", [200, -200])
def test_clocks_may_differ_by_minutes(age_seconds: int) -> None:
    assert Verifier([SECRET]).verify(signed(age_seconds=age_seconds), BODY) == ID


@pytest.mark.parametrize("other", ["whsec_other", "WHSEC_TESTSECRET", "whsec_testsecre", "testsecret"])
def test_another_secrets_signature_is_wrong(other: str) -> None:
    assert refusal(signed(secret=other)).startswith("wrong webhook-signature")


def test_an_altered_body_id_or_timestamp_is_wrong() -> None:
    headers = signed()
    later = str(int(headers["webhook-timestamp"]) + 1)
    assert refusal(headers, BODY + b" ").startswith("wrong")
    assert refusal(headers | {"webhook-id": "another"}).startswith("wrong")
    assert refusal(headers | {"webhook-timestamp": later}).startswith("wrong")


def test_no_refusal_contains_the_right_signature_or_a_secret() -> None:
    right = signed()
    answer = refusal(right | {"webhook-signature": "v1,aGVsbG8="})
    assert SECRET not in answer
    assert right["webhook-signature"].removeprefix("v1,") not in answer


@pytest.mark.parametrize(
    "beside",
    [
        "v1,aGVsbG8=",
        "v2,whatever",
        "v1a,aGVsbG8=",
        "nonsense",
        ",",
        "v1,!!",
        "v1,A",
        "v1,AAAAA",
        "v1,AAA",
        "",
    ],
)
def test_a_valid_signature_counts_whatever_is_beside_it(beside: str) -> None:
    headers = signed()
    good = headers["webhook-signature"]
    verifier = Verifier([SECRET])
    assert verifier.verify(headers | {"webhook-signature": f"{beside} {good}"}, BODY) == ID
    assert verifier.verify(headers | {"webhook-signature": f"{good} {beside}"}, BODY) == ID


def test_only_the_first_signatures_of_a_flood_are_compared() -> None:
    headers = signed()
    flood = f"v1,{'A' * 43}= " * 1000 + headers["webhook-signature"]
    assert refusal(headers | {"webhook-signature": flood}).startswith("wrong")


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"{\xed\xa0\x80}", b"", b"\xef\xbb\xbf{}", b"\x80" * 10])
def test_a_body_that_is_not_text_is_verified_only_if_signed(body: bytes) -> None:
    assert Verifier(["whsec_older", SECRET]).verify(signed(body), body) == ID
    assert refusal(signed(body, secret="whsec_other"), body).startswith("wrong")


NAMES = st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "host"])
VALUES = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"(v1,[A-Za-z0-9+/=]{0,50} ?){0,3}", fullmatch=True),
    st.integers(-10, 10**14).map(str),
    st.sampled_from([ID, "v1,", "v1", "0", "1e400", "\ud800"]),
)


@given(headers=st.dictionaries(NAMES, VALUES), body=st.binary(max_size=100), fresh=st.booleans())
def test_random_headers_are_refused_and_break_nothing(
    headers: dict[str, str], body: bytes, fresh: bool
) -> None:
    now = {"webhook-timestamp": str(int(time.time()))} if fresh else {}
    with pytest.raises(InvalidSignatureError):
        Verifier([SECRET]).verify(headers | now, body)


@given(soup=st.dictionaries(NAMES, VALUES), body=st.binary(max_size=100))
def test_random_headers_over_a_valid_signature_give_the_signed_id_or_a_refusal(
    soup: dict[str, str], body: bytes
) -> None:
    try:
        assert Verifier([SECRET]).verify(signed(body) | soup, body) == ID
    except InvalidSignatureError as error:
        assert str(error).startswith(("missing", "malformed", "stale", "wrong"))  # noqa: PT017 - the other outcome


@given(body=st.binary(), altered=st.binary())
def test_any_bytes_can_be_signed_and_only_those_are_verified(body: bytes, altered: bytes) -> None:
    headers = signed(body)
    assert Verifier([SECRET]).verify(headers, body) == ID
    if altered != body:
        refusal(headers, altered)


@given(secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=16))
def test_any_long_text_can_be_a_secret(secret: str) -> None:
    assert Verifier([secret]).verify(signed(secret=secret), BODY) == ID


def test_the_key_that_signed_the_last_webhook_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a secret in the newer form, the key is the second that is tried; that would double the cost."""
    new = "whsec_" + base64.b64encode(b"sixteen bytes or more").decode()
    verifier, tried, verify = Verifier([SECRET, new]), [], Webhook.verify

    def noted(webhook: Webhook, *args: object, **options: bool) -> object:
        tried.append(webhook)
        return verify(webhook, *args, **options)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(Webhook, "verify", noted)
    counts = []
    for headers in (signed_by_the_specification(new), signed_by_the_specification(new), signed(), signed()):
        assert verifier.verify(headers, BODY) == ID
        counts.append(len(tried))
        tried.clear()
    assert counts == [3, 1, 2, 1]
