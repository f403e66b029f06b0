"""Documents, dependencies and benchmarks."""
