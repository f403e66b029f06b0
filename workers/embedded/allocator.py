"""Finds jemalloc, which saves the embedded server up to a fifth of its processor time.

Most servers are built with it. The one that comes with the project uses the C library's allocator.
"""

import os
from collections.abc import Sequence
from pathlib import Path

_NAME = "libjemalloc.so.2"
# Where Debian, Fedora, and Arch or Alpine keep libraries, in this order.
_FOLDERS = (Path(f"/usr/lib/{os.uname().machine}-linux-gnu"), Path("/usr/lib64"), Path("/usr/lib"))


def allocator_environment(folders: Sequence[Path] = _FOLDERS) -> dict[str, str]:
    """Return the variable that makes a server use jemalloc, or none if it is not installed.

    If the library cannot be loaded, the loader skips it with a line in the server's log. If the library ends
    the server, the guardian starts the server without it.
    """
    found = next((path for folder in folders if (path := folder / _NAME).is_file()), None)
    return {"LD_PRELOAD": str(found)} if found else {}
