"""Makes standard output and standard error usable, whatever the shell or a service manager gives us."""

import io
import os
import sys

_STANDARD_ERROR = 2


def prepare_streams() -> None:
    """Open closed streams as ``/dev/null``, and escape what a console's encoding cannot show."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= _STANDARD_ERROR:  # it took the place of a closed stream: no other file may get it
        os.set_inheritable(descriptor, True)
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115 - stays open
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115 - stays open
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Send what is still buffered for standard output to ``/dev/null``, so that Python can exit quietly."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.close(descriptor)


def describe_os_error(error: OSError) -> str:
    """Return what could not be read or written, and why: without a file name, standard output."""
    return f"{error.filename or 'standard output'}: {error.strerror or error}"
