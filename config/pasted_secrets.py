"""Reads signing secrets and tokens as people paste them, and refuses those that are damaged or too weak.

A damaged secret passes every check that only looks whether it is set, and then refuses every webhook. A weak
one lets strangers sign webhooks, and so mint credits.
"""

import re
from collections.abc import Iterator

# Polar's present and former prefixes. They reveal a token pasted as a secret, and a secret pasted as a token.
PREFIX_OF_TOKENS = "polar_oat_"
STANDARD_PREFIX = "whsec_"
PREFIXES_OF_SECRETS = (STANDARD_PREFIX, "polar_whs_")

SHORTEST = 16
"""The least number of characters after a secret's prefix, and of bytes in a key that is derived from it."""

_SIGNATURE_VERSION = "v1"  # in headers it precedes a signature; people paste `v1,whsec_...`

_DAMAGES = (
    (re.compile("[\"'`\u2018\u2019\u201c\u201d]"), "contains a quotation mark (remove the quotes around it)"),
    (re.compile(r"\s#"), "is followed by a comment (put the comment on a line of its own)"),
    (re.compile(r"\s"), "contains a blank or a line break"),
    (re.compile(r"[^\x20-\x7e]"), "contains an invisible or non-ASCII character (copy it again)"),
    (re.compile(r";"), "contains a semicolon (separate several values with commas)"),
    (re.compile(r"=(?!=*$)"), "contains = (paste only what follows NAME=)"),  # base64 may end in =
)


def split_secrets(text: str) -> list[str]:
    """Return the secrets that commas separate, without the ``v1`` of a pasted ``v1,whsec_...``."""
    pieces = [piece.strip() for piece in text.split(",")]
    following = [*pieces[1:], ""]
    return [
        piece
        for piece, after in zip(pieces, following, strict=True)
        if piece and not (piece == _SIGNATURE_VERSION and after.startswith(PREFIXES_OF_SECRETS))
    ]


def find_secret_problems(secrets: list[str]) -> Iterator[str]:
    """Yield what is wrong with each secret that cannot be used, such as ``secret 2 of 3 has a semicolon``.

    No text of a secret is shown.
    """
    for number, secret in enumerate(secrets, start=1):
        name = "it" if len(secrets) == 1 else f"secret {number} of {len(secrets)}"
        if problem := find_damage(secret) or _find_weakness(secret):
            yield f"{name} {problem}"


def find_damage(text: str) -> str:
    """Return how a pasted secret or token was damaged, as a verb phrase; empty if it was not."""
    return next((problem for pattern, problem in _DAMAGES if pattern.search(text)), "")


def _find_weakness(secret: str) -> str:
    if len(_without_prefix(secret)) < SHORTEST:
        return f"has fewer than {SHORTEST} characters after its prefix, so others could guess it"
    return ""


def _without_prefix(secret: str) -> str:
    for prefix in PREFIXES_OF_SECRETS:
        secret = secret.removeprefix(prefix)
    return secret
