"""Tells whether the disk of an embedded server is full: the server itself says so only in its own log."""

import os
from pathlib import Path

SERVER = "server.lock"
"""The file by which a folder is known as an embedded server's."""
BACK = "data"
"""A link to the folder, beside a socket that is not in it."""

# Room for the largest webhook, and for what is under way. With less, the server may end at any write.
_NEEDED_BYTES = 2 * 1024 * 1024


def full_disk(folder: str | Path) -> str | None:
    """Return what is wrong and what to do if the disk of a data folder is full, else None."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    blocks = disk.f_bfree if os.geteuid() == 0 else disk.f_bavail  # some blocks are kept for root
    free_bytes = blocks * disk.f_frsize
    if free_bytes >= _NEEDED_BYTES:
        return None
    return (
        f"the disk is full: {free_bytes // 1024} KB are left for {os.path.realpath(folder)} "
        "(make room there, 2 MB or more; nothing that was confirmed is lost, and Polar repeats refused "
        "webhooks for half an hour; if this lasts longer, run `credits recover --since 24h` afterwards)"
    )


def data_folder(socket: str) -> str | None:
    """Return the data folder of the embedded server that has this socket; None for any other server."""
    # Not by pathlib, which takes five times as long: the receiver asks before each call to Redis.
    beside = os.path.dirname(socket)
    for folder in (beside, os.path.join(beside, BACK)):
        if os.path.exists(os.path.join(folder, SERVER)):
            return folder
    return None
