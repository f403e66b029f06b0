"""The command line, one module a family of commands: parse, call workers, print."""

import sys

from redis.exceptions import RedisError

from app.cli import (
    backfill,
    balance,
    check,
    deliveries,
    demo,
    dismiss,
    explain,
    forget,
    grant,
    grants,
    rebuild,
    recover,
    replay,
    revoke,
    rules,
    send,
    service,
)
from app.cli.batches import advised
from app.cli.root import root
from app.errors import CommandError
from config.errors import ConfigError
from workers.errors import GranterError, PolarDeniedError
from workers.store.redis_errors import describe_redis_error

__all__ = [
    "backfill",
    "balance",
    "check",
    "deliveries",
    "demo",
    "dismiss",
    "explain",
    "forget",
    "grant",
    "grants",
    "main",
    "rebuild",
    "recover",
    "replay",
    "revoke",
    "root",
    "rules",
    "send",
    "service",
]


def main() -> None:
    """Run a command; what a user can mend is one clear line and exit status 1, never a traceback."""
    try:
        root()
    except PolarDeniedError as error:
        sys.exit(f"credits: {advised(error)}")
    except (CommandError, ConfigError, GranterError) as error:
        sys.exit(f"credits: {error}")
    except RedisError as error:
        sys.exit(f"credits: Redis: {describe_redis_error(error)}")
