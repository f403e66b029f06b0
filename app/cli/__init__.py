"""The command line, one module a command: parse the options, call ``workers``, print the result."""

import sys

from redis.exceptions import RedisError

from app.cli.batches import describe_error
from app.cli.root import root
from app.cli.streams import describe_os_error, discard_output, prepare_streams
from app.errors import CommandError
from config.errors import ConfigError
from workers.errors import GranterError, PolarDeniedError
from workers.store.redis_errors import describe_redis_error

__all__ = ["main"]


def main() -> None:
    """Run a command; an error that a user can fix is one clear line and exit status 1, not a traceback."""
    prepare_streams()
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()  # here, not at exit, where Python would print a traceback if it fails
    except OSError as error:
        discard_output()
        sys.exit(f"credits: {describe_os_error(error)}")


def _run() -> None:
    try:
        root()
    except PolarDeniedError as error:
        sys.exit(f"credits: {describe_error(error)}")
    except (CommandError, ConfigError, GranterError) as error:
        sys.exit(f"credits: {error}")
    except RedisError as error:
        sys.exit(f"credits: Redis: {describe_redis_error(error)}")
