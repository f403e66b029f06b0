"""Reads the settings from an environment that a test has made."""

import pytest

from config.errors import ConfigError
from config.settings import Settings, load_settings

VARIABLES = (
    "POLAR_ACCESS_TOKEN", "POLAR_WEBHOOK_SECRET", "POLAR_SERVER", "REDIS_URL", "CREDITS_RULES",
    "CREDITS_DATA_DIR", "HOST", "PORT", "LOG_FORMAT", "LOG_LEVEL", "CREDITS_OPS_TOKEN", "CREDITS_RETAIN",
    "CREDITS_ALERT_URL", "CREDITS_RECONCILE_EVERY", "CREDITS_EVENTS_URL", "CREDITS_EVENTS_SECRET",
    "CREDITS_FORGET_DELETED", "CREDITS_REDIS_CA", "CREDITS_REDIS_TLS_VERIFY", "CREDITS_REDIS_CONNECTIONS",
)  # fmt: skip


def settings_with(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """Return the settings with these variables set."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def problem_with(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """Return the message of the ConfigError that these variables lead to."""
    with pytest.raises(ConfigError) as caught:
        settings_with(monkeypatch, **variables)
    return str(caught.value)
