"""The settings, which no other module reads from the environment. docs/operations/settings.md lists them."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from dotenv import dotenv_values
from platformdirs import user_state_path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from config.errors import ConfigError
from config.pasted_secrets import PREFIX_OF_TOKENS, PREFIXES_OF_SECRETS, find_secret_problems, split_secrets
from config.redis_urls import MOST_CONNECTIONS, RedisOptions
from config.setting_problems import problem_line
from config.setting_values import (
    MAKE_ONE,
    OFF,
    lowercase,
    read_ca_file,
    read_duration,
    read_events_url,
    read_folder,
    read_host,
    read_interval,
    read_log_level,
    read_own_token,
    read_own_tokens,
    read_redis_url,
    read_secret_url,
    read_signing_secret,
    read_token,
    split_tokens,
)
from config.urls import POLAR_SERVERS, read_polar_url, read_public_url

ENV_FILE = ".env"
ENV_FILE_ENCODING = "utf-8-sig"  # editors on Windows write a byte order mark

_USUAL_INTERVAL = timedelta(hours=6)  # between two rounds of the reconciler

LogLevel = Literal["debug", "info", "warning", "error"]


class ReceiverSettings(BaseModel):
    """The settings of the receiver, frozen, secrets masked.

    A receiver reads no others, so that a mistake in one that it does not need never keeps it from storing.
    """

    # Deferred until one is read: a process reads either these settings or all.
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    webhook_secret: SecretStr | None = Field(None, validation_alias="POLAR_WEBHOOK_SECRET")
    redis_url: Annotated[SecretStr, AfterValidator(read_redis_url)] | None = Field(
        None, validation_alias="REDIS_URL"
    )
    redis_ca: Annotated[Path, AfterValidator(read_ca_file)] | None = Field(
        None, validation_alias="CREDITS_REDIS_CA"
    )
    redis_tls_verify: Annotated[Literal["full", "none"], BeforeValidator(lowercase)] = Field(
        "full", validation_alias="CREDITS_REDIS_TLS_VERIFY"
    )
    redis_connections: int = Field(
        MOST_CONNECTIONS, ge=4, le=1000, validation_alias="CREDITS_REDIS_CONNECTIONS"
    )
    host: Annotated[str, AfterValidator(read_host)] = Field("127.0.0.1", validation_alias="HOST")
    port: int = Field(8000, ge=0, le=65535, validation_alias="PORT")
    log_format: Annotated[Literal["console", "json"] | None, BeforeValidator(lowercase)] = Field(
        None, validation_alias="LOG_FORMAT"
    )
    log_level: Annotated[LogLevel, BeforeValidator(read_log_level)] = Field(
        "info", validation_alias="LOG_LEVEL"
    )
    ops_token: Annotated[SecretStr, AfterValidator(read_own_token)] | None = Field(
        None, validation_alias="CREDITS_OPS_TOKEN"
    )
    forget_deleted: bool = Field(False, validation_alias="CREDITS_FORGET_DELETED")

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Return every signing secret that is set: several during a rotation, none if unset."""
        if self.webhook_secret is None:
            return ()
        return tuple(split_secrets(self.webhook_secret.get_secret_value()))

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
        return self.redis_url.get_secret_value()

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


class Settings(ReceiverSettings):
    """All settings, from the environment and, if it exists, ``.env``."""

    api_token: Annotated[SecretStr, AfterValidator(read_own_tokens)] | None = Field(
        None, validation_alias="CREDITS_API_TOKEN"
    )
    desk_token: Annotated[SecretStr, AfterValidator(read_own_token)] | None = Field(
        None, validation_alias="CREDITS_DESK_TOKEN"
    )
    api_port: int = Field(8001, ge=0, le=65535, validation_alias="CREDITS_API_PORT")
    access_token: Annotated[SecretStr, AfterValidator(read_token)] | None = Field(
        None, validation_alias="POLAR_ACCESS_TOKEN"
    )
    polar_url: Annotated[str, AfterValidator(read_polar_url)] = Field(
        "production", validation_alias="POLAR_SERVER", validate_default=True
    )
    rules_path: Path = Field(Path("config/rules.yaml"), validation_alias="CREDITS_RULES")
    data_dir_set: Annotated[Path, AfterValidator(read_folder)] | None = Field(
        None, validation_alias="CREDITS_DATA_DIR"
    )
    requests_per_minute_set: int | None = Field(
        None, ge=2, le=100_000, validation_alias="CREDITS_POLAR_REQUESTS_PER_MINUTE"
    )
    public_url: Annotated[str, AfterValidator(read_public_url)] | None = Field(
        None, validation_alias="CREDITS_PUBLIC_URL"
    )
    alert_url: Annotated[SecretStr, AfterValidator(read_secret_url)] | None = Field(
        None, validation_alias="CREDITS_ALERT_URL"
    )
    events_url: Annotated[SecretStr, AfterValidator(read_events_url)] | None = Field(
        None, validation_alias="CREDITS_EVENTS_URL"
    )
    events_secret: Annotated[SecretStr, AfterValidator(read_signing_secret)] | None = Field(
        None, validation_alias="CREDITS_EVENTS_SECRET", validate_default=True
    )
    reconcile_set: Annotated[timedelta | Literal["off"] | None, BeforeValidator(read_interval)] = Field(
        None, validation_alias="CREDITS_RECONCILE_EVERY"
    )
    retain: Annotated[timedelta, BeforeValidator(read_duration)] = Field(
        timedelta(days=30), validation_alias="CREDITS_RETAIN"
    )

    @field_validator("events_secret")
    @classmethod
    def _signs_events(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is None and info.data.get("events_url"):
            raise ValueError(f"it is not set, but CREDITS_EVENTS_URL is: {MAKE_ONE}")
        return secret

    @property
    def api_tokens(self) -> tuple[str, ...]:
        """Return every token of the storefront API: several during a rotation, none if unset."""
        return split_tokens(self.api_token.get_secret_value()) if self.api_token else ()

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
        return self.desk_token.get_secret_value()

    def require_events_secret(self) -> str:
        """Return the secret that signs credit events; ConfigError if there is none."""
        if self.events_secret is None:
            raise ConfigError(f"CREDITS_EVENTS_SECRET is not set: {MAKE_ONE}")
        return self.events_secret.get_secret_value()

    def require_events(self) -> tuple[str, str]:
        """Return the URL and the secret of credit events; ConfigError if they are not sent."""
        if self.events_url is None:
            raise ConfigError("CREDITS_EVENTS_URL is not set: it says where the storefront receives events")
        return self.events_url.get_secret_value(), self.require_events_secret()

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
                "POLAR_ACCESS_TOKEN is not set: create an organization access token with the scope "
                "events:write in Polar's dashboard (Settings > Developers)"
            )
        token = self.access_token.get_secret_value()
        if token.startswith(PREFIXES_OF_SECRETS):
            raise ConfigError(
                "POLAR_ACCESS_TOKEN contains the secret of a webhook endpoint, which belongs in "
                f"POLAR_WEBHOOK_SECRET: a token begins with {PREFIX_OF_TOKENS}"
            )
        return token


AnySettings = TypeVar("AnySettings", bound=ReceiverSettings)


def load_settings() -> Settings:
    """Read the settings from the environment; ConfigError names each unusable variable and the reason."""
    return _load(Settings)


def load_receiver_settings() -> ReceiverSettings:
    """Read what the receiver needs from the environment; ConfigError as for ``load_settings``."""
    return _load(ReceiverSettings)


def _load(kind: type[AnySettings]) -> AnySettings:
    try:
        return kind.model_validate(_variables())
    except ValidationError as error:
        lines = [problem_line(_variable(each["loc"][0]), each) for each in error.errors()]
        raise ConfigError("\n".join(lines)) from None
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


def _variable(name: str | int) -> str:
    field = Settings.model_fields.get(str(name))  # of an unset one, pydantic names the attribute
    return str(field.validation_alias if field else name)
