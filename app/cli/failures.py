"""Describes the errors that a user can fix, in one line."""

from redis.exceptions import RedisError

from app.cli.batches import describe_error
from app.errors import CommandError
from config.errors import ConfigError
from workers.errors import GranterError, PolarDeniedError
from workers.operations.temporary_files import TemporaryFileError, describe_temporary_file
from workers.store.redis_errors import describe_redis_error


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
        case _:
            return None
