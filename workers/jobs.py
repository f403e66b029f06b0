"""What RQ calls; the names are a wire format, for jobs may lie in Redis across an upgrade."""

import structlog
from redis.exceptions import RedisError

from workers.pipeline.granter import Granter
from workers.store.redis_errors import describe_redis_error

log = structlog.get_logger(__name__)

_granter: Granter | None = None


def install(granter: Granter) -> None:
    """Tell this process's jobs whom to call: RQ hands them nothing but their arguments."""
    global _granter  # noqa: PLW0603 - RQ imports a job by its path; there is no other way to it
    _granter = granter


def drain() -> None:
    """Work on the deliveries that are due; what Redis keeps us from is due again when its lease ends."""
    if _granter is None:
        raise RuntimeError("this job is for `credits work`: a plain `rq worker` cannot run it")
    try:
        _granter.drain()
    except RedisError as error:
        # RQ would log a traceback and keep a failed job, of what the worker's loop waits out anyway.
        log.warning("a drain broke off", reason=describe_redis_error(error))
