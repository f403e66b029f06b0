"""Completes the settings for ``credits init``: Polar's server, the access token, the public URL."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click

from app.cli.init.questions import ask, tell
from app.errors import CommandError
from config.errors import ConfigError
from config.secret import Secret
from config.setting_values import read_token
from config.settings import Settings
from config.urls import POLAR_SERVERS, read_endpoint_base, read_polar_url

T = TypeVar("T")

_STDIN = "-"

SCOPES = (
    "events:write",
    "meters:read",
    "products:read",
    "webhooks:write",
    "orders:read",
    "customers:read",
    "customer_meters:read",
)
"""What to give to a token: what ``init`` needs, and what the daily commands do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingOptions:
    """The options that answer the questions of this module; empty, and None, where they were not given."""

    server: str
    token_file: str
    public_url: str | None


def is_asking() -> bool:
    """Return whether there is a person to ask."""
    return sys.stdin.isatty()


def missing_options(settings: Settings, options: SettingOptions) -> Iterator[str]:
    """Yield what a script has to give that neither an option nor the settings say."""
    if not options.server and settings.polar_url_set is None:
        yield "--server"
    if not options.token_file and settings.access_token is None:
        yield "POLAR_ACCESS_TOKEN in the environment or --token-file"
    if options.public_url is None and settings.public_url is None:
        yield "--public-url"


def complete_settings(settings: Settings, options: SettingOptions) -> Settings:
    """Return the settings with what the options say; a person is asked for what is still missing."""
    settings = replace(settings, polar_url_set=_polar_url(settings, options))
    token = _token_in(options.token_file) if options.token_file else settings.access_token
    if token is None:
        token = ask_for_token(settings)
    settings = replace(settings, access_token=token)
    settings.require_token()
    return replace(settings, public_url=_public_url(settings, options))


def ask_for_token(settings: Settings) -> Secret:
    """Ask for an access token; what is typed is not shown."""
    tell(
        "\nIn Polar's dashboard (Settings > Developers), create an organization token with the scopes\n"
        f"  {', '.join(SCOPES)}\n"
        "and meters:write if Polar has no meter yet: one can be created for you."
    )
    return ask("Access token (not shown)", _usable_token(settings), hidden=True)


def server_name(settings: Settings) -> str:
    """Return Polar's server as the setting names it."""
    names = [name for name, url in POLAR_SERVERS.items() if url == settings.polar_url]
    return names[0] if names else settings.polar_url


def _polar_url(settings: Settings, options: SettingOptions) -> str:
    if options.server:
        return _read_option("--server", options.server, read_polar_url)
    if settings.polar_url_set is not None:
        return settings.polar_url_set
    return ask("Polar server: sandbox (test payments) or production", read_polar_url, default="sandbox")


def _public_url(settings: Settings, options: SettingOptions) -> str | None:
    if options.public_url is not None:
        return _read_option("--public-url", options.public_url, _read_public_url)
    if settings.public_url is not None:
        return _read_option("CREDITS_PUBLIC_URL", settings.public_url, _read_public_url)
    tell(
        "\nPolar sends its webhooks to a public https:// URL that leads to this service. On your own\n"
        "machine, start a tunnel first: cloudflared tunnel --url http://localhost:8000\n"
        "Without a URL, press Enter: run credits init again when you have one."
    )
    return ask("Public URL", _read_public_url, default="")


def _read_public_url(text: str) -> str | None:
    return read_endpoint_base(text) if text else None


def _token_in(file: str) -> Secret:
    try:
        text = sys.stdin.read() if file == _STDIN else Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"--token-file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"--token-file {file}: it is not a text file") from None
    if not text.strip():
        raise CommandError(f"--token-file {file}: it is empty")
    return _read_option("--token-file", text, read_token)


def _usable_token(settings: Settings) -> Callable[[str], Secret]:
    def read(text: str) -> Secret:
        token = read_token(text)
        try:
            replace(settings, access_token=token).require_token()
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return token

    return read


def _read_option(name: str, value: str, read: Callable[[str], T]) -> T:
    try:
        return read(value.strip())
    except ValueError as error:
        raise click.UsageError(f"{name}: {error}") from None
