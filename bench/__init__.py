"""Benchmarks the service against the alternatives (``make bench``, ``docs/performance.md``)."""
