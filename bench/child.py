"""Runs a command, and prints what it took: ``python bench/child.py COMMAND …``.

It is a process of its own, and a small one, because a child counts as its own peak what the process that
started it has in memory.
"""

import json
import resource
import subprocess
import sys
import time

_MOST = 5_000  # characters of each end of its output


def main() -> None:
    """Run the command, and print its output, status, seconds and peak as JSON."""
    begun = time.monotonic()
    done = subprocess.run(sys.argv[1:], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    seconds = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "status": done.returncode,
        "output": done.stdout[:_MOST] + done.stdout[-_MOST:] + done.stderr[-_MOST:],
        "seconds": seconds,
        "processor": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
