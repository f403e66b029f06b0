"""The settings, which no other module reads from the environment. docs/operations/settings.md lists them."""

import os
import re
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from dotenv import dotenv_values
from platformdirs import user_state_path
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.durations import parse_duration
from config.errors import ConfigError
from config.wording import describe_unknown, quoted

ENV_FILE = ".env"

# Polar's present and former prefixes. They reveal a token pasted as a secret, and a secret pasted as a token.
_PREFIX_OF_TOKENS = "polar_oat_"
_PREFIXES_OF_SECRETS = ("whsec_", "polar_whs_")

_SIMILARITY = 0.75  # POLAR_TOKEN is similar enough to be meant for us; POLAR_SUCCESS_URL is not

_POLAR_SERVERS = {
    "production": "https://api.polar.sh",
    "sandbox": "https://sandbox-api.polar.sh",
}

# Messages that replace pydantic's own. They show the value, so no variable here may contain a secret.
_ALLOWED = {
    "PORT": "a port: write a number from 0 to 65535",
    "LOG_FORMAT": "console or json",
    "LOG_LEVEL": "debug, info, warning or error",
    "CREDITS_POLAR_REQUESTS_PER_MINUTE": "a whole number from 2 to 100000",
}


def _polar_url(value: str) -> str:
    url = _POLAR_SERVERS.get(value, value)
    parts = _parts(url)
    usable = parts is not None and parts.scheme in {"http", "https"} and _is_host(parts.hostname or "")
    if not usable or any(mark in url for mark in "@?#"):
        raise ValueError("write production, sandbox, or a base URL such as http://127.0.0.1:9000")
    return url.rstrip("/")


def _is_host(name: str) -> bool:
    """Return whether ``name`` is an IPv6 address or a valid host name."""
    label = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
    return ":" in name or re.fullmatch(rf"{label}(\.{label})*\.?", name) is not None


def _redis_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    parts = _parts(url)
    if (parts is None or not parts.scheme.startswith("redis")) and not url.startswith("unix:///"):
        raise ValueError(
            "write redis://host:6379/0, rediss://host:6379/0 or unix:///path; "
            "in a password, percent-encode every character that is not a letter or digit"
        )
    return value


def _alert_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value().strip()
    parts = _parts(url)
    usable = parts is not None and parts.scheme in {"http", "https"} and _is_host(parts.hostname or "")
    if not usable or "@" in url or " " in url or not (url.isascii() and url.isprintable()):
        raise ValueError(
            "write an http:// or https:// URL without user and password, such as the one that Slack or "
            "Discord gives for an incoming webhook"
        )
    return SecretStr(url)


def _parts(url: str) -> SplitResult | None:
    """Return the parts of an HTTP or Redis URL, or None if its host or port is unusable."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable and parts.scheme in {"http", "https", "redis", "rediss"} else None


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()  # a token read from a mounted file may end in a newline
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("it contains characters that no token has; copy it again")
    return SecretStr(text)


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


class Settings(BaseSettings):
    """The settings from the environment and, if it exists, ``.env``; frozen, secrets masked."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, env_ignore_empty=True, extra="ignore", frozen=True)

    access_token: Annotated[SecretStr, AfterValidator(_token)] | None = Field(
        None, validation_alias="POLAR_ACCESS_TOKEN"
    )
    webhook_secret: SecretStr | None = Field(None, validation_alias="POLAR_WEBHOOK_SECRET")
    polar_url: Annotated[str, AfterValidator(_polar_url)] = Field(
        "production", validation_alias="POLAR_SERVER", validate_default=True
    )
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        None, validation_alias="REDIS_URL"
    )
    rules_path: Path = Field(Path("config/rules.yaml"), validation_alias="CREDITS_RULES")
    data_dir: Path = Field(
        default_factory=lambda: user_state_path("credit-granter"),
        validation_alias="CREDITS_DATA_DIR",
    )
    host: str = Field("127.0.0.1", validation_alias="HOST")
    port: int = Field(8000, ge=0, le=65535, validation_alias="PORT")
    log_format: Literal["console", "json"] | None = Field(None, validation_alias="LOG_FORMAT")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")
    requests_per_minute_set: int | None = Field(
        None, ge=2, le=100_000, validation_alias="CREDITS_POLAR_REQUESTS_PER_MINUTE"
    )
    ops_token: SecretStr | None = Field(None, validation_alias="CREDITS_OPS_TOKEN")
    alert_url: Annotated[SecretStr, AfterValidator(_alert_url)] | None = Field(
        None, validation_alias="CREDITS_ALERT_URL"
    )
    reconcile_every: Annotated[timedelta | None, BeforeValidator(_duration)] = Field(
        None, validation_alias="CREDITS_RECONCILE_EVERY"
    )
    retain: Annotated[timedelta, BeforeValidator(_duration)] = Field(
        timedelta(days=30), validation_alias="CREDITS_RETAIN"
    )

    @property
    def polar_server(self) -> str:
        """Return Polar's base URL for display. The name of a known server precedes it."""
        names = [name for name, url in _POLAR_SERVERS.items() if url == self.polar_url]
        return f"{names[0]} ({self.polar_url})" if names else self.polar_url

    @property
    def requests_per_minute(self) -> int:
        """Return our share of Polar's rate limit: the setting, or else three fifths of the limit."""
        if self.requests_per_minute_set is not None:
            return self.requests_per_minute_set
        return 60 if self.polar_url == _POLAR_SERVERS["sandbox"] else 300

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Return every signing secret in force: several during a rotation, none if unset."""
        if self.webhook_secret is None:
            return ()
        secrets = self.webhook_secret.get_secret_value().split(",")
        return tuple(secret.strip() for secret in secrets if secret.strip())

    def require_redis_url(self) -> str:
        """Return the Redis URL; ConfigError if it is unset, because ``serve`` and ``work`` start no Redis."""
        if self.redis_url is None:
            raise ConfigError(
                "REDIS_URL is not set: the receiver and the workers must share one Redis; set it for both, "
                "or use `credits up`, which runs them together with an embedded Redis"
            )
        return self.redis_url.get_secret_value()

    def require_token(self) -> str:
        """Return the access token; ConfigError if there is none, or if it is a signing secret."""
        if self.access_token is None:
            raise ConfigError(
                "POLAR_ACCESS_TOKEN is not set: create an organization access token with the scope "
                "events:write in Polar's dashboard (Settings > Developers)"
            )
        token = self.access_token.get_secret_value()
        if token.startswith(_PREFIXES_OF_SECRETS):
            raise ConfigError(
                "POLAR_ACCESS_TOKEN contains the secret of a webhook endpoint, which belongs in "
                f"POLAR_WEBHOOK_SECRET: a token begins with {_PREFIX_OF_TOKENS}"
            )
        return token

    def require_secrets(self) -> tuple[str, ...]:
        """Return the signing secrets; ConfigError if there is none, or if one is an access token."""
        if not self.webhook_secrets:
            raise ConfigError(
                "POLAR_WEBHOOK_SECRET is not set: copy the secret of the webhook endpoint from Polar's "
                "dashboard (Settings > Webhooks)"
            )
        if any(secret.startswith(_PREFIX_OF_TOKENS) for secret in self.webhook_secrets):
            raise ConfigError(
                "POLAR_WEBHOOK_SECRET contains an access token, which belongs in POLAR_ACCESS_TOKEN: copy "
                "the secret of the webhook endpoint from Polar's dashboard (Settings > Webhooks)"
            )
        return self.webhook_secrets


def load_settings() -> Settings:
    """Read the settings from the environment; ConfigError names each unusable variable and the reason."""
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigError("\n".join(_problem_line(each) for each in error.errors())) from None


def find_unknown_settings() -> list[str]:
    """Return a message for each unknown ``CREDITS_*`` variable and each misspelt ``POLAR_*`` in ``.env``.

    A storefront may have ``POLAR_*`` variables of its own, so only those that resemble ours are reported.
    """
    ours = [str(field.validation_alias) for field in Settings.model_fields.values()]
    named = [(ENV_FILE, name) for name in dotenv_values(ENV_FILE)]
    named += [("environment", name) for name in os.environ if name.upper().startswith("CREDITS_")]
    return [
        f"{where}: {describe_unknown('setting', name, ours, 'docs/operations/settings.md lists them all')}"
        for where, name in named
        if name.upper() not in ours and _is_meant_for_us(name.upper(), ours)
    ]


def _is_meant_for_us(name: str, ours: list[str]) -> bool:
    if name.startswith("POLAR_"):
        return bool(get_close_matches(name, ours, cutoff=_SIMILARITY))
    return name.startswith("CREDITS_")


def _problem_line(error: Any) -> str:
    name = error["loc"][0]
    if allowed := _ALLOWED.get(name):
        return f"{name}: {quoted(error['input'])} is not {allowed}"
    # The value is left out, because it may be a secret or contain one.
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"
