"""Finds settings whose names are probably misspelt."""

import os
from difflib import get_close_matches

from dotenv import dotenv_values

from config.settings import ENV_FILE, ENV_FILE_ENCODING, SETTING_NAMES
from config.wording import describe_unknown

_SIMILARITY = 0.75  # POLAR_TOKEN is similar enough to be meant for us; POLAR_SUCCESS_URL is not


def find_unknown_settings() -> list[str]:
    """Return a message for each unknown ``CREDITS_*`` variable and each misspelt ``POLAR_*`` in ``.env``.

    A storefront may have ``POLAR_*`` variables of its own, so only those that resemble ours are reported.
    """
    listed = "docs/operations/settings.md lists them all"
    named = [(ENV_FILE, name) for name in _names_in_env_file()]
    named += [("environment", name) for name in os.environ if name.upper().startswith("CREDITS_")]
    return [
        f"{where}: {describe_unknown('setting', name, SETTING_NAMES, listed)}"
        for where, name in named
        if name.upper() not in SETTING_NAMES and _is_meant_for_us(name.upper())
    ]


def _names_in_env_file() -> list[str]:
    try:
        return list(dotenv_values(ENV_FILE, encoding=ENV_FILE_ENCODING))
    except (OSError, UnicodeError):
        return []  # loading the settings reports it


def _is_meant_for_us(name: str) -> bool:
    if name.startswith("POLAR_"):
        return bool(get_close_matches(name, SETTING_NAMES, cutoff=_SIMILARITY))
    return name.startswith("CREDITS_")
