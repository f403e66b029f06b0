"""The names of all settings."""

from config.settings import Settings

SETTINGS = frozenset(str(field.validation_alias) for field in Settings.model_fields.values())
