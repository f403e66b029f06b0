"""What heavy tests need of Debian: programs that `make test-heavy` installs where it may."""

import os
import shutil

import pytest


def require_programs(*names: str, as_root: bool = False) -> None:
    """Skip the test, with the reason, unless all these programs are installed (and we are root)."""
    # Servers are in sbin, which a user's PATH may lack.
    missing = [name for name in names if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.skip(
            f"not installed: {', '.join(missing)} (.ci/apt-packages installs what it can, as root on Debian)"
        )
    if as_root and os.geteuid() != 0:
        pytest.skip("only root can do this")
