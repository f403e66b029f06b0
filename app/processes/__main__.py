"""Runs a part of the service as a process: ``python -m app.processes worker``, for example."""

import sys

from app.processes.part import run_part

if __name__ == "__main__":
    run_part(sys.argv[1:])
