"""Headers, raw body and secrets to a verified delivery, or why it is none.

Standard Webhooks (https://www.standardwebhooks.com), by its own library. Two things are ours: Polar
takes the whole secret's bytes as the key where the specification says base64, so each secret counts
in both readings; and what the library raises on hostile input is turned into an answer.
"""

import base64
import binascii
import hmac
import re
import time
from collections.abc import Iterable, Mapping

from standardwebhooks.webhooks import Webhook, WebhookVerificationError, hmac_data

_TOLERANCE_SECONDS = 300  # the specification's; the library checks it as well
_PREFIXES = ("whsec_", "polar_whs_")

WEBHOOK_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")  # 32 bytes; the library stumbles over what is no base64
_MOST_SIGNATURES = 8  # two secrets in rotation need two; each one costs a comparison


class InvalidSignatureError(Exception):
    """A request that Polar did not sign, or not for us, or not now; its text is safe to send back."""


class Verifier:
    """Knows the signing secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._keys = tuple(key for secret in secrets for key in _keys(secret))

    def verify(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the delivery's id if one of the secrets signed these bytes, else raise."""
        delivery_id = _header(headers, "webhook-id", WEBHOOK_ID)
        timestamp = _header(headers, "webhook-timestamp", _TIMESTAMP)
        signatures = _signatures(headers.get("webhook-signature"))
        if abs(time.time() - int(timestamp)) > _TOLERANCE_SECONDS:
            raise InvalidSignatureError("stale webhook-timestamp: more than 5 minutes from now")
        signed = {
            "webhook-id": delivery_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signatures,
        }
        if not any(_matches(key, signed, body) for key in self._keys):
            raise InvalidSignatureError("wrong webhook-signature: signed with another secret, or altered")
        return delivery_id


def sign(secret: str, delivery_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that Polar would send with ``body`` today."""
    signature = hmac_data(secret.encode(), b"%b.%d.%b" % (delivery_id.encode(), timestamp, body))
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _keys(secret: str) -> tuple[bytes, ...]:
    whole = secret.encode()
    rest = secret
    for prefix in _PREFIXES:
        rest = rest.removeprefix(prefix)
    try:
        decoded = base64.b64decode(rest + "=" * (-len(rest) % 4), validate=True)
    except (binascii.Error, ValueError):
        return (whole,)
    return (whole, decoded) if decoded else (whole,)


def _header(headers: Mapping[str, str], name: str, form: re.Pattern[str]) -> str:
    value = headers.get(name)
    if not value:
        raise InvalidSignatureError(f"missing {name}")
    if form.fullmatch(value) is None:
        raise InvalidSignatureError(f"malformed {name}")
    return value


def _signatures(header: str | None) -> str:
    """Return the signatures that can be ours."""
    if not header:
        raise InvalidSignatureError("missing webhook-signature")
    pieces = [piece for piece in header.split(" ") if _SIGNATURE.fullmatch(piece)]
    if not pieces:
        raise InvalidSignatureError("malformed webhook-signature")
    return " ".join(pieces[:_MOST_SIGNATURES])


def _matches(key: bytes, signed: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(key).verify(body, signed, json_parse=False)
    except UnicodeDecodeError:
        return _matches_bytes(key, signed, body)
    except (WebhookVerificationError, ValueError):
        return False
    return True


def _matches_bytes(key: bytes, signed: dict[str, str], body: bytes) -> bool:
    """Do the library's comparison for a body that is no text, which it does not take."""
    prefix = f"{signed['webhook-id']}.{signed['webhook-timestamp']}.".encode()
    expected = base64.b64encode(hmac_data(key, prefix + body)).decode()
    found = [piece.removeprefix("v1,") for piece in signed["webhook-signature"].split(" ")]
    return any([hmac.compare_digest(expected, piece) for piece in found])  # noqa: C419 - no early end
