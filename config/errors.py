"""What is wrong with what an operator wrote: settings or rules."""


class ConfigError(Exception):
    """The settings or the rules cannot be used; its text is all that a user needs to mend them."""
