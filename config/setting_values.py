"""Reads the values of single settings. Each function raises ValueError, with a message, for others."""

import base64
import binascii
import os
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeVar

from config.durations import LONGEST_INTERVAL, parse_duration
from config.pasted_secrets import SHORTEST, STANDARD_PREFIX, find_damage
from config.redis_urls import check_redis_url
from config.secret import Secret
from config.urls import read_alert_url, read_storefront_url
from config.wording import quoted

OFF: Literal["off"] = "off"
"""Says that something shall never run."""

LogLevel = Literal["debug", "info", "warning", "error"]
_LOG_LEVELS: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")

_ON = {"1", "true", "yes", "on", "t", "y"}
_OFF = {"0", "false", "no", "off", "f", "n"}

Value = TypeVar("Value", bound=str)

MAKE_ONE = "make one with `echo whsec_$(openssl rand -base64 32)`, and set it here and in the storefront"


def read_redis_url(text: str) -> Secret:
    """Return a Redis URL; ValueError, without any piece of it, if it cannot be used."""
    check_redis_url(text)
    return Secret(text)


def read_secret_url(text: str) -> Secret:
    """Return the URL to which alerts are posted, which contains a secret; ValueError if unusable."""
    return Secret(read_alert_url(text))


def read_events_url(text: str) -> Secret:
    """Return the URL to which credit events are sent, which may contain a secret; ValueError if unusable."""
    return Secret(read_storefront_url(text))


def read_signing_secret(given: str) -> Secret:
    """Return a secret as Standard Webhooks has it: ``whsec_`` and a key in base64; ValueError if unusable."""
    text = read_token(given).reveal()
    key64 = text.removeprefix(STANDARD_PREFIX)
    try:
        key = base64.b64decode(key64 + "=" * (-len(key64) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"it is no Standard Webhooks secret: {MAKE_ONE}") from None
    if len(key) < SHORTEST:
        raise ValueError(f"its key has fewer than {SHORTEST} bytes, so others could guess it: {MAKE_ONE}")
    return Secret(text)


def read_token(given: str) -> Secret:
    """Return an access token; ValueError, without its text, if it was damaged when it was pasted."""
    text = given.strip()  # a token read from a mounted file may end in a newline
    if damage := find_damage(text):
        raise ValueError(f"it {damage}")
    return Secret(text)


def read_own_token(text: str) -> Secret:
    """Return a token that protects our own endpoints; ValueError if it could be guessed."""
    token = read_token(text)
    if len(token.reveal()) < SHORTEST:
        raise ValueError(f"it has fewer than {SHORTEST} characters, so others could guess it")
    return token


def read_own_tokens(text: str) -> Secret:
    """Return tokens of ours, separated by commas; ValueError if one of them could be guessed."""
    return Secret(",".join(read_own_token(one).reveal() for one in split_tokens(text)))


def split_tokens(text: str) -> tuple[str, ...]:
    """Return the tokens that are separated by commas in ``text``."""
    return tuple(token.strip() for token in text.split(",") if token.strip())


def read_host(value: str) -> str:
    """Return the host without the brackets in which a URL encloses an IPv6 address."""
    host = value.strip()
    if host.startswith("[") != host.endswith("]"):
        raise ValueError("it has one bracket: write the address alone, such as :: or ::1")
    return host.removeprefix("[").removesuffix("]")


def read_folder(path: str) -> Path:
    """Return a path with ``~`` and variables replaced, as a shell does; no shell reads ``.env``."""
    whole = os.path.expandvars(path)
    unset = re.search(r"\$\{?\w+", whole)
    if unset:
        raise ValueError(f"the variable {unset[0].strip('${')} in it is not set")
    try:
        return Path(whole).expanduser()
    except RuntimeError:
        raise ValueError("this user has no home folder for its ~: write the whole path") from None


def read_ca_file(path: str) -> Path:
    """Return the path of a file of CAs, with ``~`` and variables replaced; ValueError if it holds none."""
    whole = read_folder(path)
    try:
        ssl.create_default_context(cafile=whole)
    except ssl.SSLError:
        raise ValueError(f"{whole} holds no certificates in PEM format") from None
    except OSError as error:
        raise ValueError(f"{whole} cannot be read: {error.strerror}") from None
    return whole


def one_of(*allowed: Value) -> Callable[[str], Value]:
    """Return what reads one of these words, in any case."""

    def read(text: str) -> Value:
        for word in allowed:
            if word == text.strip().lower():
                return word
        *others, last = map(str, allowed)
        raise ValueError(f"{quoted(text)} is not {', '.join(others)} or {last}")

    return read


_read_known_level = one_of(*_LOG_LEVELS)


def read_log_level(text: str) -> LogLevel:
    """Return the level that a text names, in any case; ``warn`` is ``warning``."""
    return "warning" if text.strip().lower() == "warn" else _read_known_level(text)


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number within these bounds."""

    def read(text: str) -> int:
        with suppress(ValueError):
            if least <= (number := int(text)) <= most:
                return number
        raise ValueError(f"{quoted(text)} is not a whole number from {least} to {most}")

    return read


def read_port(text: str) -> int:
    """Return the number of a port; 0 is any that is free."""
    try:
        return whole_number(0, 65535)(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not a port: write a number from 0 to 65535") from None


def read_flag(text: str) -> bool:
    """Return whether something is turned on."""
    word = text.strip().lower()
    if word not in _ON | _OFF:
        raise ValueError(f"{quoted(text)} is not 1 or 0")
    return word in _ON


def read_interval(text: str) -> timedelta | Literal["off"]:
    """Return the interval that a text states, or OFF; ValueError if it is too long."""
    if text.strip().lower() == OFF:
        return OFF
    interval = parse_duration(text)
    if interval > LONGEST_INTERVAL:
        raise ValueError(f"{text!r} is longer than {LONGEST_INTERVAL.days} days")
    return interval
