"""The settings, which no other module reads from the environment. docs/operations/settings.md lists them."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeVar

from dotenv import dotenv_values
from platformdirs import user_state_path

from config.durations import parse_duration
from config.errors import ConfigError
from config.pasted_secrets import PREFIX_OF_TOKENS, PREFIXES_OF_SECRETS, find_secret_problems, split_secrets
from config.redis_urls import MOST_CONNECTIONS, RedisOptions
from config.secret import Secret
from config.setting_fields import read_fields, setting, variables_of
from config.setting_values import (
    MAKE_ONE,
    OFF,
    LogLevel,
    one_of,
    read_ca_file,
    read_events_url,
    read_flag,
    read_folder,
    read_host,
    read_interval,
    read_log_level,
    read_own_token,
    read_own_tokens,
    read_port,
    read_redis_url,
    read_secret_url,
    read_signing_secret,
    read_token,
    split_tokens,
    whole_number,
)
from config.urls import POLAR_SERVERS, read_polar_url, read_public_url

ENV_FILE = ".env"
ENV_FILE_ENCODING = "utf-8-sig"  # editors on Windows write a byte order mark

_USUAL_RULES = Path("config/rules.yaml")
_NO_EVENTS_SECRET = f"it is not set, but CREDITS_EVENTS_URL is: {MAKE_ONE}"
_USUAL_INTERVAL = timedelta(hours=6)  # between two rounds of the reconciler


@dataclass(frozen=True, kw_only=True)
class ReceiverSettings:
    """The settings of the receiver, frozen, secrets masked.

    A receiver reads no others, so that a mistake in one that it does not need never keeps it from storing.
    """

    webhook_secret: Secret | None = setting("POLAR_WEBHOOK_SECRET", Secret)
    redis_url: Secret | None = setting("REDIS_URL", read_redis_url)
    redis_ca: Path | None = setting("CREDITS_REDIS_CA", read_ca_file)
    redis_tls_verify: Literal["full", "none"] = setting(
        "CREDITS_REDIS_TLS_VERIFY", one_of("full", "none"), "full"
    )
    redis_connections: int = setting("CREDITS_REDIS_CONNECTIONS", whole_number(4, 1000), MOST_CONNECTIONS)
    host: str = setting("HOST", read_host, "127.0.0.1")
    port: int = setting("PORT", read_port, 8000)
    log_format: Literal["console", "json"] | None = setting("LOG_FORMAT", one_of("console", "json"))
    log_level: LogLevel = setting("LOG_LEVEL", read_log_level, "info")
    ops_token: Secret | None = setting("CREDITS_OPS_TOKEN", read_own_token)
    forget_deleted: bool = setting("CREDITS_FORGET_DELETED", read_flag, False)

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Return every signing secret that is set: several during a rotation, none if unset."""
        if self.webhook_secret is None:
            return ()
        return tuple(split_secrets(self.webhook_secret.reveal()))

    @property
    def redis_options(self) -> RedisOptions:
        """Return how to connect to the server of the Redis URL."""
        return RedisOptions(
            ca=self.redis_ca,
            verifies_tls=self.redis_tls_verify == "full",
            connections=self.redis_connections,
        )

    def require_redis_url(self) -> str:
        """Return the Redis URL; ConfigError if it is unset, because ``serve`` and ``work`` start no Redis."""
        if self.redis_url is None:
            raise ConfigError(
                "REDIS_URL is not set: the receiver and the workers must share one Redis; set it for both, "
                "or use `credits up`, which runs them together with an embedded Redis"
            )
        return self.redis_url.reveal()

    def require_secrets(self) -> tuple[str, ...]:
        """Return the signing secrets; ConfigError if there is none, or if one of them cannot be used."""
        secrets = self.webhook_secrets
        if not secrets:
            raise ConfigError(
                "POLAR_WEBHOOK_SECRET is not set: run credits init, or copy the secret of the webhook "
                "endpoint from Polar's dashboard (Settings > Webhooks)"
            )
        if any(secret.startswith(PREFIX_OF_TOKENS) for secret in secrets):
            raise ConfigError(
                "POLAR_WEBHOOK_SECRET contains an access token, which belongs in POLAR_ACCESS_TOKEN: copy "
                "the secret of the webhook endpoint from Polar's dashboard (Settings > Webhooks)"
            )
        if problems := list(find_secret_problems(list(secrets))):
            raise ConfigError(
                f"POLAR_WEBHOOK_SECRET: {'; '.join(problems)}. Copy the secret again from Polar's dashboard "
                "(Settings > Webhooks); if it is the same there, generate it anew and set it here. "
                "Meanwhile Polar sends refused webhooks again, for about half an hour"
            )
        return secrets


@dataclass(frozen=True, kw_only=True)
class Settings(ReceiverSettings):
    """All settings, from the environment and, if it exists, ``.env``."""

    api_token: Secret | None = setting("CREDITS_API_TOKEN", read_own_tokens)
    desk_token: Secret | None = setting("CREDITS_DESK_TOKEN", read_own_token)
    api_port: int = setting("CREDITS_API_PORT", read_port, 8001)
    access_token: Secret | None = setting("POLAR_ACCESS_TOKEN", read_token)
    polar_url_set: str | None = setting("POLAR_SERVER", read_polar_url)
    rules_path_set: Path | None = setting("CREDITS_RULES", Path)
    data_dir_set: Path | None = setting("CREDITS_DATA_DIR", read_folder)
    requests_per_minute_set: int | None = setting(
        "CREDITS_POLAR_REQUESTS_PER_MINUTE", whole_number(2, 100_000)
    )
    public_url: str | None = setting("CREDITS_PUBLIC_URL", read_public_url)
    alert_url: Secret | None = setting("CREDITS_ALERT_URL", read_secret_url)
    events_url: Secret | None = setting("CREDITS_EVENTS_URL", read_events_url)
    events_secret: Secret | None = setting(
        "CREDITS_EVENTS_SECRET", read_signing_secret, needed=("events_url", _NO_EVENTS_SECRET)
    )
    reconcile_set: timedelta | Literal["off"] | None = setting("CREDITS_RECONCILE_EVERY", read_interval)
    retain: timedelta = setting("CREDITS_RETAIN", parse_duration, timedelta(days=30))

    @property
    def polar_url(self) -> str:
        """Return the base URL of Polar's API."""
        return self.polar_url_set or POLAR_SERVERS["production"]

    @property
    def rules_path(self) -> Path:
        """Return the path of the rules file."""
        return self.rules_path_set or _USUAL_RULES

    @property
    def api_tokens(self) -> tuple[str, ...]:
        """Return every token of the storefront API: several during a rotation, none if unset."""
        return split_tokens(self.api_token.reveal()) if self.api_token else ()

    @property
    def serves_api(self) -> bool:
        """Return whether ``credits api`` has anything to serve: the storefront API or the desk."""
        return bool(self.api_tokens or self.desk_token)

    def require_api(self) -> None:
        """Raise ConfigError if neither the storefront API nor the desk can be served."""
        if not self.serves_api:
            raise ConfigError(
                "neither CREDITS_API_TOKEN (storefront API) nor CREDITS_DESK_TOKEN (operators' pages) "
                "is set: make a token, such as with `openssl rand -hex 32`"
            )

    def require_desk_token(self) -> str:
        """Return the desk's token; ConfigError if there is none."""
        if self.desk_token is None:
            raise ConfigError(
                "CREDITS_DESK_TOKEN is not set: make a token, such as with `openssl rand -hex 32`"
            )
        return self.desk_token.reveal()

    def require_events_secret(self) -> str:
        """Return the secret that signs credit events; ConfigError if there is none."""
        if self.events_secret is None:
            raise ConfigError(f"CREDITS_EVENTS_SECRET is not set: {MAKE_ONE}")
        return self.events_secret.reveal()

    def require_events(self) -> tuple[str, str]:
        """Return the URL and the secret of credit events; ConfigError if they are not sent."""
        if self.events_url is None:
            raise ConfigError("CREDITS_EVENTS_URL is not set: it says where the storefront receives events")
        return self.events_url.reveal(), self.require_events_secret()

    @property
    def polar_server(self) -> str:
        """Return Polar's base URL for display. The name of a known server precedes it."""
        names = [name for name, url in POLAR_SERVERS.items() if url == self.polar_url]
        return f"{names[0]} ({self.polar_url})" if names else self.polar_url

    @property
    def requests_per_minute(self) -> int:
        """Return our share of Polar's rate limit: the setting, or else three fifths of the limit."""
        if self.requests_per_minute_set is not None:
            return self.requests_per_minute_set
        return 60 if self.polar_url == POLAR_SERVERS["sandbox"] else 300

    def reconcile_every(self, *, has_credit_from: bool) -> timedelta | None:
        """Return how often to reconcile by rules with or without ``credit_from``; None if never."""
        if self.reconcile_set == OFF:
            return None
        return self.reconcile_set or (_USUAL_INTERVAL if has_credit_from else None)

    @property
    def data_dir(self) -> Path:
        """Return the folder of the embedded Redis; ConfigError if it is unset and the user has no home."""
        if self.data_dir_set is not None:
            return self.data_dir_set
        usual = user_state_path("credit-granter")
        if not usual.is_absolute():  # "~" could not be expanded
            raise ConfigError("CREDITS_DATA_DIR is not set, and this user has no home folder: set it")
        return usual

    def require_token(self) -> str:
        """Return the access token; ConfigError if there is none, or if it is a signing secret."""
        if self.access_token is None:
            raise ConfigError(
                "POLAR_ACCESS_TOKEN is not set: run credits init, or create an organization access token "
                "with the scope events:write in Polar's dashboard (Settings > Developers)"
            )
        token = self.access_token.reveal()
        if token.startswith(PREFIXES_OF_SECRETS):
            raise ConfigError(
                "POLAR_ACCESS_TOKEN contains the secret of a webhook endpoint, which belongs in "
                f"POLAR_WEBHOOK_SECRET: a token begins with {PREFIX_OF_TOKENS}"
            )
        return token


SETTING_NAMES = variables_of(Settings)
"""The names of all variables that are read."""

AnySettings = TypeVar("AnySettings", bound=ReceiverSettings)


def load_settings() -> Settings:
    """Read the settings from the environment; ConfigError names each unusable variable and the reason."""
    return _load(Settings)


def load_receiver_settings() -> ReceiverSettings:
    """Read what the receiver needs from the environment; ConfigError as for ``load_settings``."""
    return _load(ReceiverSettings)


def _load(kind: type[AnySettings]) -> AnySettings:
    try:
        return read_fields(kind, _variables())
    except UnicodeError:
        raise ConfigError(f"{ENV_FILE} cannot be read: it is not UTF-8; save it in that encoding") from None
    except OSError as error:
        raise ConfigError(f"{ENV_FILE} cannot be read: {error.strerror}") from None


def _variables() -> dict[str, str]:
    """Return what is set, by its name in capitals; the environment has the last word.

    What is empty counts as unset.
    """
    sources = (dotenv_values(ENV_FILE, encoding=ENV_FILE_ENCODING), os.environ)
    return {name.upper(): value for source in sources for name, value in source.items() if value}
