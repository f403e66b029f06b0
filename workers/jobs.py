"""The function that RQ calls. Its path is a wire name: jobs may wait in Redis across an upgrade."""

from concurrent.futures import Future
from contextlib import AbstractContextManager

from redis.exceptions import RedisError

from config.log import get_log
from workers.pipeline.granter import Granter
from workers.store.redis_errors import describe_redis_error

log = get_log(__name__)

_granter: Granter | None = None
_done_ahead: Future[None] | None = None


def install(granter: Granter) -> None:
    """Set the granter that this process's jobs use: RQ passes a job nothing but its arguments."""
    global _granter  # noqa: PLW0603 - RQ imports a job by its path; it can reach nothing else
    _granter = granter


def drain_ahead(limit: AbstractContextManager[object]) -> None:
    """Do within ``limit`` what RQ is about to run as a job; ``drain`` then returns or raises what came of it.

    RQ notes that a job has begun, which takes several writes to disk. No order needs to wait for them.
    """
    global _done_ahead  # noqa: PLW0603 - as above
    _done_ahead = Future()
    try:
        with limit:
            drain_now()
    except Exception as error:  # noqa: BLE001 - whatever it is, the job fails with it
        _done_ahead.set_exception(error)
    else:
        _done_ahead.set_result(None)


def drain() -> None:
    """Run as RQ's job: work on the due deliveries, unless the worker has just done so."""
    global _done_ahead
    done, _done_ahead = _done_ahead, None
    if done is None:
        drain_now()
    else:
        done.result()


def drain_now() -> None:
    """Work on the due deliveries. If Redis fails, they are due again when their lease ends."""
    if _granter is None:
        raise RuntimeError("this job is for `credits work`: a plain `rq worker` cannot run it")
    try:
        _granter.drain()
    except RedisError as error:
        # The worker's loop waits until Redis is back; RQ would log a traceback and keep a failed job.
        log.warning("drain interrupted", reason=describe_redis_error(error))
