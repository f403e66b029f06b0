"""How many connections a receiver has at most, and the limit of open files that allows them."""

import resource
from contextlib import suppress

# How many are read at once. Each may send 256 KB before app.receiver.uploads counts a byte, so strangers can
# raise a receiver's memory from 75 MB to at most 290; with a thousand connections it was 430.
_MOST_CONNECTIONS = 250
# How many more wait for a place. What they send stays in the system's buffers, so each costs us some KB.
_MOST_WAITING = 2000
_OTHER_FILES = 100  # Redis (51 connections), the listening socket, logs
_MANY_FILES = 10_240  # where the system sets no limit; macOS accepts no more


def most_connections() -> int:
    """Return how many connections to read at once, so that enough files are left for everything else."""
    return max(1, min(_MOST_CONNECTIONS, _files_for_connections()))


def most_waiting() -> int:
    """Return how many more connections may wait."""
    return max(0, min(_MOST_WAITING, _files_for_connections() - _MOST_CONNECTIONS))


def _files_for_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (_MANY_FILES if files == resource.RLIM_INFINITY else files) - _OTHER_FILES


def raise_file_limit() -> None:
    """Raise this process's limit on open files as far as the system allows."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if most == resource.RLIM_INFINITY else most
    if files != resource.RLIM_INFINITY and files < wanted:
        with suppress(OSError, ValueError):  # the present limit must do
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
