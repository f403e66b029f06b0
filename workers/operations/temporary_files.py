"""Says what to do if a temporary file cannot be written, for example because the disk is full."""

import sqlite3

TemporaryFileError = sqlite3.OperationalError
"""What the collections of ``workers.operations.spool`` raise if their file cannot be written."""


def describe_temporary_file(error: TemporaryFileError) -> str:
    """Return what went wrong, and what to do."""
    return (
        f"a temporary file cannot be written ({error}): "
        "make room in /var/tmp, or name a folder with room in TMPDIR"
    )
