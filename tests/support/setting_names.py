"""The names of all settings."""

from config.settings import SETTING_NAMES

SETTINGS = frozenset(SETTING_NAMES)
