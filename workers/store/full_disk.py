"""Keeps us from writing while the disk of the embedded Redis is full, and names it as the cause of errors.

The embedded server ends at a write that does not fit, because it never confirms what is not on disk.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis.asyncio
from redis import Redis
from redis.exceptions import RedisError

from workers.embedded.disk import data_folder, full_disk
from workers.store.redis_errors import DiskFullError, describe_redis_error


def find_full_disk(client: Redis | redis.asyncio.Redis) -> str | None:
    """Return that the disk is full, and what to do; None if it is not, or if the server is not embedded."""
    options: dict[str, Any] = client.connection_pool.connection_kwargs
    folder = data_folder(options["path"]) if "path" in options else None
    return full_disk(folder) if folder else None


def require_room(client: Redis | redis.asyncio.Redis) -> None:
    """Raise DiskFullError if the disk of the embedded server is full."""
    if problem := find_full_disk(client):
        raise DiskFullError(problem)


@contextmanager
def naming_full_disk(client: Redis | redis.asyncio.Redis) -> Iterator[None]:
    """Raise DiskFullError instead of an error of Redis that a full disk explains."""
    try:
        yield
    except (RedisError, OSError):
        require_room(client)
        raise


def run_with_room(client: Redis, step: Callable[[], None]) -> None:
    """Run ``step``, which writes; DiskFullError if the disk is full before or after it fails."""
    require_room(client)
    with naming_full_disk(client):
        step()


def describe_trouble(client: Redis | redis.asyncio.Redis, error: Exception) -> str:
    """Return what an error of Redis means: a full disk if there is one, because it explains the others."""
    return find_full_disk(client) or describe_redis_error(error)
