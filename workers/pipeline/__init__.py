"""From a lease to its settlement, and the RQ worker that does it."""
