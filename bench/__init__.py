"""Measures the service beside what it is compared with (``make bench``, ``docs/performance.md``)."""
