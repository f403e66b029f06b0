"""Starts ``credits`` with our own ``app``, ``workers`` and ``config``, whatever else has these names.

Other projects have packages of these names too, and PYTHONPATH or the folder of the script may lead to them.
This module has a name that nobody else uses, so it can be imported first; it forgets such folders before
anything else is imported. The processes that we start inherit that: they get no PYTHONPATH, and Python's -P.
"""

import os
import site
import sys

_OURS = ("app", "workers", "config")
_HOME = os.path.dirname(os.path.abspath(__file__))
"""Where our packages are: site-packages, or a clone."""

_INTERRUPTED = 130  # as shells count it: 128 and the number of the signal


def main() -> None:
    """Run the command line. If files of ours are missing or replaced, say so in one line.

    Ctrl-C while everything is being imported, which takes a moment, ends it as it ends any command.
    """
    try:
        isolate()
        from app.cli import main as run  # noqa: PLC0415 - only now is it certainly ours

        run()
    except ImportError as error:
        sys.exit(f"credits: {describe(error)}")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def isolate() -> None:
    """Forget PYTHONPATH and the folder of the script, here and for the processes that we start.

    An installation that is itself in PYTHONPATH (``pip install --target``) keeps its own folder there.
    """
    given = os.environ.pop("PYTHONPATH", "")
    foreign = {os.path.abspath(one) for one in given.split(os.pathsep)} if given else set()
    if _HOME in foreign:
        os.environ["PYTHONPATH"] = _HOME
    if not sys.flags.safe_path:  # then Python has put the folder of the script first
        foreign.add(os.path.abspath(sys.path[0]))
    os.environ.pop("RQ_KEY_PREFIX", None)  # RQ 3 would obey what is meant for another application's RQ
    foreign -= {_HOME, os.path.dirname(os.__file__), *site.getsitepackages()}
    sys.path[:] = [one for one in sys.path if os.path.abspath(one) not in foreign]


def describe(error: ImportError) -> str:
    """Return why a module of ours or of a dependency cannot be imported, and what to do."""
    from importlib.metadata import packages_distributions  # noqa: PLC0415 - slow, and seldom needed

    package = (error.name or "").partition(".")[0]
    owners = packages_distributions().get(package, []) if package in _OURS else []
    others = ", ".join(sorted(set(owners) - {"credit-granter"}))
    cause = f"{others} has a package {package!r} too" if others else "the installation is incomplete"
    return f"{error}: {cause}. Install credit-granter into an environment of its own, with uv or pipx"
