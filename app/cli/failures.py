"""Describes the errors that a user can fix, in one line."""

from redis.exceptions import RedisError

from app.cli.batches import describe_error
from app.errors import CommandError
from config.errors import ConfigError
from workers.errors import GranterError, PolarDeniedError
from workers.operations.temporary_files import TemporaryFileError, describe_temporary_file
from workers.store.redis_errors import describe_redis_error

# What Python makes of such bytes in an argument, a variable or a file name; nothing of ours can store it.
_BYTES_OF_NO_CHARACTER = frozenset(map(chr, range(0xDC80, 0xDD00)))


def describe(error: Exception) -> str | None:
    """Return what went wrong and what to do; None if only a traceback can say it."""
    match error:
        case PolarDeniedError():
            return describe_error(error)
        case CommandError() | ConfigError() | GranterError():
            return str(error)
        case RedisError():
            return f"Redis: {describe_redis_error(error)}"
        case TemporaryFileError():
            return f"{describe_temporary_file(error)}; then run the command again"
        case UnicodeEncodeError(object=text, start=start) if text[start] in _BYTES_OF_NO_CHARACTER:
            return "an argument or a setting is not UTF-8 text"
        case _:
            return None
