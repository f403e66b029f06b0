"""From a lease to its settlement, on fakes."""
