"""What keeps a command from doing what it was asked."""


class CommandError(Exception):
    """A command cannot go on; its text says why, and what to do."""
