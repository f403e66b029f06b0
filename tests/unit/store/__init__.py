"""Redis, without Redis."""
