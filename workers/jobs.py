"""What RQ calls; the names are a wire format, for jobs may lie in Redis across an upgrade."""

from workers.granting import Granter

_granter: Granter | None = None


def install(granter: Granter) -> None:
    """Tell this process's jobs whom to call: RQ hands them nothing but their arguments."""
    global _granter  # noqa: PLW0603 - RQ imports a job by its path; there is no other way to it
    _granter = granter


def drain() -> None:
    """Work on the deliveries that are due."""
    if _granter is None:
        raise RuntimeError("this job is for `credits work`: a plain `rq worker` cannot run it")
    _granter.drain()
