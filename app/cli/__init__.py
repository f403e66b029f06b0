"""The command line, one module a command: parse the options, call ``workers``, print the result."""

import sys

from app.cli.root import root
from app.cli.streams import describe_os_error, discard_output, prepare_streams

__all__ = ["main"]


def main() -> None:
    """Run a command; an error that a user can fix is one clear line and exit status 1, not a traceback."""
    prepare_streams()
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()  # here, not at exit, where Python would print a traceback if it fails
    except OSError as error:
        discard_output()
        sys.exit(f"credits: {describe_os_error(error)}")


def _run() -> None:
    try:
        root()
    except Exception as error:
        # Only here: what knows the errors of Redis imports its client, which few commands can do without.
        from app.cli.failures import describe  # noqa: PLC0415

        if (failure := describe(error)) is None:
            raise
        sys.exit(f"credits: {failure}")
