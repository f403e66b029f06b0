"""The error for settings or rules that cannot be used."""


class ConfigError(Exception):
    """The settings or the rules cannot be used; the text tells the operator how to fix them."""
