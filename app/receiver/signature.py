"""Verifies the signature of a webhook, and signs one as Polar does.

The scheme is Standard Webhooks (https://www.standardwebhooks.com), implemented by its own library. We add two
things. Polar uses the bytes of the whole secret as the key, whereas the specification decodes the secret from
base64, so each secret is tried both ways. And every exception that the library raises on hostile input
becomes an InvalidSignatureError.
"""

import base64
import binascii
import hmac
import re
import time
from collections.abc import Iterable, Mapping

from standardwebhooks.webhooks import Webhook, WebhookVerificationError, hmac_data

from config.pasted_secrets import PREFIXES_OF_SECRETS, SHORTEST

_TOLERANCE_SECONDS = 300  # as in the specification; the library checks it as well

WEBHOOK_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")  # 32 bytes; the library fails on anything but base64
_MOST_SIGNATURES = 8  # a rotation needs two; each one costs a comparison


class InvalidSignatureError(Exception):
    """A signature header is missing, malformed, stale or wrong; the text is safe to send to the client."""


class StaleSignatureError(InvalidSignatureError):
    """The timestamp is too old or too new: a repeated request, or a clock that is wrong."""


class Verifier:
    """Verifies requests against the signing secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        keys = [key for secret in secrets for key in _keys(secret)]
        self._keys = [(key, Webhook(key)) for key in keys]

    def verify(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the delivery's id if one of the secrets signed the body; else InvalidSignatureError."""
        delivery_id = _header(headers, "webhook-id", WEBHOOK_ID)
        timestamp = _header(headers, "webhook-timestamp", _TIMESTAMP)
        signatures = _signatures(headers.get("webhook-signature"))
        if abs(time.time() - int(timestamp)) > _TOLERANCE_SECONDS:
            raise StaleSignatureError(
                "stale webhook-timestamp: more than 5 minutes from the receiver's clock"
            )
        signed = {
            "webhook-id": delivery_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signatures,
        }
        for place, (key, webhook) in enumerate(self._keys):
            if _matches(key, webhook, signed, body):
                if place:
                    self._keys.insert(0, self._keys.pop(place))  # Polar will sign the next one with it, too
                return delivery_id
        raise InvalidSignatureError(
            "wrong webhook-signature: signed with another secret, or changed after signing"
        )


def sign(secret: str, delivery_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers with which Polar would send ``body``; ``timestamp`` is in seconds since 1970."""
    signature = hmac_data(secret.encode(), b"%b.%d.%b" % (delivery_id.encode(), timestamp, body))
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _keys(secret: str) -> tuple[bytes, ...]:
    """Return the secret's possible keys, except those that are short enough to guess."""
    rest = secret
    for prefix in PREFIXES_OF_SECRETS:
        rest = rest.removeprefix(prefix)
    try:
        decoded = base64.b64decode(rest + "=" * (-len(rest) % 4), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    return tuple(key for key in (secret.encode(), decoded) if len(key) >= SHORTEST)


def _header(headers: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = headers.get(name)
    if not value:
        raise InvalidSignatureError(f"missing {name}")
    if pattern.fullmatch(value) is None:
        raise InvalidSignatureError(f"malformed {name}")
    return value


def _signatures(header: str | None) -> str:
    """Return the well-formed signatures of the header, at most eight of them."""
    if not header:
        raise InvalidSignatureError("missing webhook-signature")
    if _SIGNATURE.fullmatch(header):  # one, as Polar sends it
        return header
    pieces = [piece for piece in header.split(" ") if _SIGNATURE.fullmatch(piece)]
    if not pieces:
        raise InvalidSignatureError("malformed webhook-signature")
    return " ".join(pieces[:_MOST_SIGNATURES])


def _matches(key: bytes, webhook: Webhook, signed: dict[str, str], body: bytes) -> bool:
    try:
        webhook.verify(body, signed, json_parse=False)
    except UnicodeDecodeError:
        return _matches_bytes(key, signed, body)
    except (WebhookVerificationError, ValueError):
        return False
    return True


def _matches_bytes(key: bytes, signed: dict[str, str], body: bytes) -> bool:
    """Compare a body that is not UTF-8, which the library cannot verify, in the library's way."""
    prefix = f"{signed['webhook-id']}.{signed['webhook-timestamp']}.".encode()
    expected = base64.b64encode(hmac_data(key, prefix + body)).decode()
    found = [piece.removeprefix("v1,") for piece in signed["webhook-signature"].split(" ")]
    return any([hmac.compare_digest(expected, piece) for piece in found])  # noqa: C419 - in constant time
