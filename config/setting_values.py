"""Reads the values of single settings. Each function is a validator: it raises ValueError with a message."""

import base64
import binascii
import os
import re
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from config.durations import LONGEST_INTERVAL, parse_duration
from config.pasted_secrets import SHORTEST, STANDARD_PREFIX, find_damage
from config.redis_urls import check_redis_url
from config.urls import read_alert_url, read_storefront_url

OFF: Literal["off"] = "off"
"""Says that something shall never run."""


MAKE_ONE = "make one with `echo whsec_$(openssl rand -base64 32)`, and set it here and in the storefront"


def read_redis_url(value: SecretStr) -> SecretStr:
    """Return a Redis URL; ValueError, without any piece of it, if it cannot be used."""
    check_redis_url(value.get_secret_value())
    return value


def read_secret_url(value: SecretStr) -> SecretStr:
    """Return the URL to which alerts are posted, which contains a secret; ValueError if unusable."""
    return SecretStr(read_alert_url(value.get_secret_value()))


def read_events_url(value: SecretStr) -> SecretStr:
    """Return the URL to which credit events are sent, which may contain a secret; ValueError if unusable."""
    return SecretStr(read_storefront_url(value.get_secret_value()))


def read_signing_secret(value: SecretStr) -> SecretStr:
    """Return a secret as Standard Webhooks has it: ``whsec_`` and a key in base64; ValueError if unusable."""
    text = read_token(value).get_secret_value()
    key64 = text.removeprefix(STANDARD_PREFIX)
    try:
        key = base64.b64decode(key64 + "=" * (-len(key64) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"it is no Standard Webhooks secret: {MAKE_ONE}") from None
    if len(key) < SHORTEST:
        raise ValueError(f"its key has fewer than {SHORTEST} bytes, so others could guess it: {MAKE_ONE}")
    return SecretStr(text)


def read_token(value: SecretStr) -> SecretStr:
    """Return an access token; ValueError, without its text, if it was damaged when it was pasted."""
    text = value.get_secret_value().strip()  # a token read from a mounted file may end in a newline
    if damage := find_damage(text):
        raise ValueError(f"it {damage}")
    return SecretStr(text)


def read_own_token(value: SecretStr) -> SecretStr:
    """Return a token that protects our own endpoints; ValueError if it could be guessed."""
    token = read_token(value)
    if len(token.get_secret_value()) < SHORTEST:
        raise ValueError(f"it has fewer than {SHORTEST} characters, so others could guess it")
    return token


def read_own_tokens(value: SecretStr) -> SecretStr:
    """Return tokens of ours, separated by commas; ValueError if one of them could be guessed."""
    tokens = split_tokens(value.get_secret_value())
    return SecretStr(",".join(read_own_token(SecretStr(one)).get_secret_value() for one in tokens))


def split_tokens(text: str) -> tuple[str, ...]:
    """Return the tokens that are separated by commas in ``text``."""
    return tuple(token.strip() for token in text.split(",") if token.strip())


def read_host(value: str) -> str:
    """Return the host without the brackets in which a URL encloses an IPv6 address."""
    host = value.strip()
    if host.startswith("[") != host.endswith("]"):
        raise ValueError("it has one bracket: write the address alone, such as :: or ::1")
    return host.removeprefix("[").removesuffix("]")


def read_folder(path: Path) -> Path:
    """Return a path with ``~`` and variables replaced, as a shell does; no shell reads ``.env``."""
    whole = os.path.expandvars(path)
    unset = re.search(r"\$\{?\w+", whole)
    if unset:
        raise ValueError(f"the variable {unset[0].strip('${')} in it is not set")
    try:
        return Path(whole).expanduser()
    except RuntimeError:
        raise ValueError("this user has no home folder for its ~: write the whole path") from None


def read_ca_file(path: Path) -> Path:
    """Return the path of a file of CAs, with ``~`` and variables replaced; ValueError if it holds none."""
    whole = read_folder(path)
    try:
        ssl.create_default_context(cafile=whole)
    except ssl.SSLError:
        raise ValueError(f"{whole} holds no certificates in PEM format") from None
    except OSError as error:
        raise ValueError(f"{whole} cannot be read: {error.strerror}") from None
    return whole


def lowercase(value: Any) -> Any:
    """Return a text in lower case; any other value as it is."""
    return value.strip().lower() if isinstance(value, str) else value


def read_log_level(value: Any) -> Any:
    """Return the level that a text names, in any case; ``warn`` is ``warning``."""
    level = lowercase(value)
    return "warning" if level == "warn" else level


def read_duration(value: Any) -> Any:
    """Return the duration that a text states; any other value as it is."""
    return parse_duration(value) if isinstance(value, str) else value


def read_interval(value: Any) -> Any:
    """Return the interval that a text states, or OFF; ValueError if it is too long."""
    if isinstance(value, str) and value.strip().lower() == OFF:
        return OFF
    interval = read_duration(value)
    if isinstance(interval, timedelta) and interval > LONGEST_INTERVAL:
        raise ValueError(f"{value!r} is longer than {LONGEST_INTERVAL.days} days")
    return interval
