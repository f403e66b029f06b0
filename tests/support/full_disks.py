"""Makes the disk look full to a process."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_file_can_grow() -> Iterator[None]:
    """Let each write to a file fail, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
