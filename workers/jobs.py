"""The function that RQ calls. Its path is a wire name: jobs may wait in Redis across an upgrade."""

import structlog
from redis.exceptions import RedisError

from workers.pipeline.granter import Granter
from workers.store.redis_errors import describe_redis_error

log = structlog.get_logger(__name__)

_granter: Granter | None = None


def install(granter: Granter) -> None:
    """Set the granter that this process's jobs use: RQ passes a job nothing but its arguments."""
    global _granter  # noqa: PLW0603 - RQ imports a job by its path; it can reach nothing else
    _granter = granter


def drain() -> None:
    """Work on the due deliveries. If Redis fails, they are due again when their lease ends."""
    if _granter is None:
        raise RuntimeError("this job is for `credits work`: a plain `rq worker` cannot run it")
    try:
        _granter.drain()
    except RedisError as error:
        # The worker's loop waits until Redis is back; RQ would log a traceback and keep a failed job.
        log.warning("drain interrupted", reason=describe_redis_error(error))
